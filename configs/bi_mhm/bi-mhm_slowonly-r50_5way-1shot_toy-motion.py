# Bi-MHM: the bidirectional mean Hausdorff metric of HyRSM on plain features. On MMAction2's own Recognizer3D.
#   python tools/train.py configs/bi_mhm/bi-mhm_slowonly-r50_5way-1shot_toy-motion.py
#   python tools/test.py configs/bi_mhm/bi-mhm_slowonly-r50_5way-1shot_toy-motion.py work_dirs/bi-mhm_slowonly-r50_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/slowonly.py',
    '../_base_/datasets/toy_motion_3d.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='BiMHM', reduction='mean'),
        temperature=0.1,
    ),
)
