# ProtoNet: distance to the mean of the class, over time-averaged features. On MMAction2's own Recognizer2D.
#   python tools/train.py configs/protonet/protonet_resnet18_5way-1shot_toy-motion.py
#   python tools/test.py configs/protonet/protonet_resnet18_5way-1shot_toy-motion.py work_dirs/protonet_resnet18_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet.py',
    '../_base_/datasets/toy_motion.py',
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
