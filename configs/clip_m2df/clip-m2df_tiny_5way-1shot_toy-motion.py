# CLIP-M2DF on a random miniature of CLIP: runs anywhere, learns little.
#   python tools/train.py configs/clip_m2df/clip-m2df_tiny_5way-1shot_toy-motion.py
#   python tools/test.py configs/clip_m2df/clip-m2df_tiny_5way-1shot_toy-motion.py work_dirs/clip-m2df_tiny_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/clip_m2df.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

view = dict(channels=32, num_heads=4, ffn_channels=64, context=dict(channels=32))
model = dict(
    backbone=dict(model=None, architecture='tiny'),
    cls_head=dict(local_view=view, global_view=view),
)
