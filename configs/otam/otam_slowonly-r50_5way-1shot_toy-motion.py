# OTAM: ordered temporal alignment; the distances to the shots of a class are averaged. On MMAction2's own Recognizer3D.
#   python tools/train.py configs/otam/otam_slowonly-r50_5way-1shot_toy-motion.py
#   python tools/test.py configs/otam/otam_slowonly-r50_5way-1shot_toy-motion.py work_dirs/otam_slowonly-r50_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/slowonly.py',
    '../_base_/datasets/toy_motion_3d.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        matching=dict(type='OTAM', smoothing=0.1),
        temperature=1.0,
    ),
)
