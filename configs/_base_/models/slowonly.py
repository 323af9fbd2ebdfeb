# A stock MMAction2 Recognizer3D; the head is set in the leaf.
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
    backbone=dict(type='ResNet3dSlowOnly', depth=50, pretrained=None, lateral=False, norm_eval=False),
    cls_head=dict(type='PrototypeHead'),
)
