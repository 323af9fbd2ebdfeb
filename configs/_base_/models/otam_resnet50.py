# OTAM: ordered temporal alignment; the distances to the shots of a class are averaged.
_base_ = './resnet50.py'

model = dict(
    cls_head=dict(
        matching=dict(type='OTAM', smoothing=0.1),
        temperature=1.0,
    ),
)
