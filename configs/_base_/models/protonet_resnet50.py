# ProtoNet: distance to the mean of the class, over time-averaged features.
_base_ = './resnet50.py'

model = dict(
    cls_head=dict(
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='CosineMatching'),
        temperature=0.1,
    ),
)
