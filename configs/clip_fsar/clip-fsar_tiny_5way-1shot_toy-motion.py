# CLIP-FSAR on a random miniature of CLIP: runs anywhere, learns little.
#   python tools/train.py configs/clip_fsar/clip-fsar_tiny_5way-1shot_toy-motion.py
#   python tools/test.py configs/clip_fsar/clip-fsar_tiny_5way-1shot_toy-motion.py work_dirs/clip-fsar_tiny_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/clip_fsar.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(model=None, architecture='tiny'),
    neck=dict(
        text_encoder=dict(model=None, architecture='tiny'),
        classes=_base_.train_dataloader.dataset.classes,
        ann_file=_base_.train_dataloader.dataset.dataset.ann_file,
        delimiter=_base_.train_dataloader.dataset.dataset.delimiter,
    ),
    cls_head=dict(modulation=dict(channels=32, num_heads=4, ffn_channels=64)),
)
