# MA-FSAR on the miniature CLIP of projects/mini_clip and SyntheticMotion.
#   python tools/train.py configs/ma_fsar/ma-fsar_mini_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/ma_fsar/ma-fsar_mini_5way-1shot_synthetic-motion.py work_dirs/ma-fsar_mini_5way-1shot_synthetic-motion/best_*.pth
_base_ = [
    '../_base_/models/ma_fsar.py',
    '../_base_/datasets/synthetic_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(model='projects/mini_clip/weights', adapter_channels=64),
    cls_head=dict(modulation=dict(channels=128, num_heads=4, ffn_channels=256)),
)
