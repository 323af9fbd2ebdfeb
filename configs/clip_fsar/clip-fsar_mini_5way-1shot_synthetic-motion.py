# CLIP-FSAR on the miniature CLIP of projects/mini_clip and SyntheticMotion.
#   python tools/train.py configs/clip_fsar/clip-fsar_mini_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/clip_fsar/clip-fsar_mini_5way-1shot_synthetic-motion.py work_dirs/clip-fsar_mini_5way-1shot_synthetic-motion/best_*.pth
_base_ = [
    '../_base_/models/clip_fsar.py',
    '../_base_/datasets/synthetic_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

clip = 'projects/mini_clip/weights'
model = dict(
    backbone=dict(model=clip),
    neck=dict(
        text_encoder=dict(model=clip),
        classes=_base_.train_dataloader.dataset.classes,
        ann_file=_base_.train_dataloader.dataset.dataset.ann_file,
        delimiter=_base_.train_dataloader.dataset.dataset.delimiter,
    ),
    cls_head=dict(
        modulation=dict(channels=128, num_heads=4, ffn_channels=256),
        # The texts of new classes tell next to nothing about the mean of a clip's frames.
        text_weight=0.1,
    ),
)
# 800 episodes in all. What is pre-trained moves slowly: it would lose more than the new layers find.
train_dataloader = dict(dataset=dict(num_episodes=160))
optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05))))
