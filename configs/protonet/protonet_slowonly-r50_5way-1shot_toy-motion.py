# ProtoNet: distance to the mean of the class, over time-averaged features. On MMAction2's own Recognizer3D.
#   python tools/train.py configs/protonet/protonet_slowonly-r50_5way-1shot_toy-motion.py
#   python tools/test.py configs/protonet/protonet_slowonly-r50_5way-1shot_toy-motion.py work_dirs/protonet_slowonly-r50_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/slowonly.py',
    '../_base_/datasets/toy_motion_3d.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='CosineMatching'),
        temperature=0.1,
    ),
)
