# CLIP-FSAR (arXiv 2303.02982): supports are modulated by their class text; the texts vote in the prediction.
_base_ = './clip_b16.py'

model = dict(
    # An auxiliary cross-entropy over the texts of all classes of meta-training; the leaf says which these are.
    neck=dict(
        type='ClassTextSupervision',
        text_encoder=dict(type='CLIPTextEncoder', model=_base_.clip),
        template='a photo of {class_name}',
        loss_weight=1.5,
    ),
    cls_head=dict(
        type='TextMergingHead',
        modulation=dict(type='TextModulation', channels=512, num_heads=8, ffn_channels=2048),
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='OTAM', smoothing=0.5),
        losses=dict(type='FewShotCrossEntropy', parts=('matching',)),
        merge='product',
        text_weight=0.9,
        text_scale=1.0,
        merge_temperature='frames',
    ),
)
