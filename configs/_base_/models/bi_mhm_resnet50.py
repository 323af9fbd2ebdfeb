# Bi-MHM: each frame goes to its nearest frame of the other video, whatever the order.
_base_ = './resnet50.py'

model = dict(
    cls_head=dict(
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='BiMHM', reduction='mean'),
        temperature=0.1,
    ),
)
