# A stock MMAction2 Recognizer2D; the head is set in the leaf.
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCHW',
    ),
    backbone=dict(type='ResNet', depth=18, norm_eval=False),
    cls_head=dict(type='PrototypeHead'),
)
