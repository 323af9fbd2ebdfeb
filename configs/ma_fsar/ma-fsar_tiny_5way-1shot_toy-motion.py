# MA-FSAR on a random miniature of CLIP: runs anywhere, learns little.
#   python tools/train.py configs/ma_fsar/ma-fsar_tiny_5way-1shot_toy-motion.py
#   python tools/test.py configs/ma_fsar/ma-fsar_tiny_5way-1shot_toy-motion.py work_dirs/ma-fsar_tiny_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/ma_fsar.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(model=None, architecture='tiny', adapter_channels=16),
    cls_head=dict(modulation=dict(channels=32, num_heads=4, ffn_channels=64)),
)
