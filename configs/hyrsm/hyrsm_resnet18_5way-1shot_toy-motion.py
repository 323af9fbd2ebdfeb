# HyRSM on MMAction2's own Recognizer2D with ResNet-18.
#   python tools/train.py configs/hyrsm/hyrsm_resnet18_5way-1shot_toy-motion.py
#   python tools/test.py configs/hyrsm/hyrsm_resnet18_5way-1shot_toy-motion.py work_dirs/hyrsm_resnet18_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        modulation=dict(type='HybridRelation', channels=512, num_heads=8, num_frames=8),
        matching=dict(type='BiMHM', reduction='sum'),
    ),
)
