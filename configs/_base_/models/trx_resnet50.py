# TRX with pairs and triples of frames.
_base_ = './resnet50.py'

model = dict(
    cls_head=dict(
        matching=dict(type='TRX', in_channels=2048, cardinalities=(2, 3), out_channels=1152),
    ),
)
