# CLIP-M2DF on the miniature CLIP of projects/mini_clip and SyntheticMotion.
#   python tools/train.py configs/clip_m2df/clip-m2df_mini_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/clip_m2df/clip-m2df_mini_5way-1shot_synthetic-motion.py work_dirs/clip-m2df_mini_5way-1shot_synthetic-motion/best_*.pth
_base_ = [
    '../_base_/models/clip_m2df.py',
    '../_base_/datasets/synthetic_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

view = dict(channels=128, num_heads=4, ffn_channels=256, context=dict(channels=128))
model = dict(
    backbone=dict(model='projects/mini_clip/weights'),
    cls_head=dict(local_view=view, global_view=view),
)
# 800 episodes in all. What is pre-trained moves slowly, and so do the convolutions over time.
train_dataloader = dict(dataset=dict(num_episodes=160))
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05), context=dict(lr_mult=0.05))),
)
