# OTAM: ordered temporal alignment; the distances to the shots of a class are averaged. On MMAction2's own Recognizer2D.
#   python tools/train.py configs/otam/otam_resnet18_5way-1shot_toy-motion.py
#   python tools/test.py configs/otam/otam_resnet18_5way-1shot_toy-motion.py work_dirs/otam_resnet18_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        matching=dict(type='OTAM', smoothing=0.1),
        temperature=1.0,
    ),
)
