# CLIP-FSAR with the effective recipe of its public code for Kinetics.
# Of other benchmarks, in the order of HMDB51, UCF101, SSv2-Small, SSv2-Full: lr 1e-5, 2e-6, 5e-5, 5e-5; weight of the
# text loss 1.2, 1.5, 3.0, 3.0; episodes 5k, 3k, 30k, 30k; warm-up from 0.1, 0.05, 0.4, 0.2 of the rate in 700, 600,
# 2000, 4000; milestones (1400, 2100), (1200, 1800), (4000, 6000), (8000, 12000).
#   python tools/train.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_toy-motion_public.py work_dirs/clip-fsar_clip-vit-b16_5way-1shot_toy-motion_public/best_*.pth
_base_ = './clip-fsar_clip-vit-b16_5way-1shot_toy-motion.py'

model = dict(
    cls_head=dict(
        # 0.01 is added to the product of the norms.
        matching=dict(eps=0.01),
        # The layer does not start as the identity, projects without biases, and drops from the attention's output.
        modulation=dict(zero_init=False, qkv_bias=False, attention_dropout=0.0, output_dropout=0.2),
        # The number of frames in the merged prediction is hard-coded.
        merge_temperature=8.0,
    ),
)
# 5,000 episodes, one at a time, 4 a step: 16 by name, on four GPUs, but these draw the same episodes.
train_cfg = dict(max_epochs=5)
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=5), dataset=dict(num_episodes=1000))
auto_scale_lr = dict(base_batch_size=1)
# An L2 penalty of 1e-3 in effect: the configured one is not used.
optim_wrapper = dict(optimizer=dict(lr=1e-5, weight_decay=1e-3), accumulative_counts=4)
# Behind the warm-up the schedule runs at twice the configured speed.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.5, by_epoch=False, end=250),
    dict(type='MultiStepLR', milestones=[750, 1250], gamma=0.1, by_epoch=False),
]
test_dataloader = dict(dataset=dict(num_episodes=10000))
