# CLIP-M2DF with the effective recipe of its public code.
#   python tools/train.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-1shot_toy-motion_public.py work_dirs/clip-m2df_clip-vit-b16_5way-1shot_toy-motion_public/best_*.pth
_base_ = './clip-m2df_clip-vit-b16_5way-1shot_toy-motion.py'

view = dict(
    # The text part is the first frame: the prompt token has been cut off before it is read.
    compat_first_frame_text=True,
    # No part starts as the identity.
    zero_init=False,
    # Queries, keys and values are projected without biases; the attention's output is dropped from, not its weights.
    qkv_bias=False,
    attention_dropout=0.0,
    output_dropout=0.2,
)
model = dict(
    cls_head=dict(
        # 0.01 is added to the product of the norms.
        matching=dict(eps=0.01),
        # At test, too, the prompt of a query is drawn; here with a seed.
        selector=dict(test_selection='sample', seed=0),
        local_view=dict(view, context=dict(identity_init=False)),
        global_view=view,
        # Only the global view teaches, whatever the visual comparison says: "up2down" there stands for this direction.
        losses=[
            dict(type='FewShotCrossEntropy'),
            dict(type='MutualDistillation', direction='global', visual_condition=False),
        ],
    ),
)
# 20,000 episodes, one at a time, 16 a step, at a constant rate of 1e-6 for everything.
train_cfg = dict(max_epochs=20)
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=5), dataset=dict(num_episodes=1000))
auto_scale_lr = dict(base_batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=1e-6), accumulative_counts=16)
param_scheduler = []
test_dataloader = dict(dataset=dict(num_episodes=10000))
