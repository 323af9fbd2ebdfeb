# MA-FSAR (arXiv 2308.01532): frozen CLIP with adapters, text-guided prototypes, three losses, merged prediction.
_base_ = './clip_b16.py'

# Share of the texts in losses and prediction. Not published.
alpha = 0.5

model = dict(
    backbone=dict(type='MAFSARBackbone', adapter_channels=192),
    cls_head=dict(
        type='TextMergingHead',
        matching=dict(type='OTAM', smoothing=0.1),
        modulation=dict(type='TextGuidedPrototype', channels=512, num_heads=8, ffn_channels=2048),
        losses=[
            dict(type='FewShotCrossEntropy', parts=('matching',), loss_weight=1 - alpha),
            dict(type='FewShotCrossEntropy', parts=('query_text',), loss_weight=alpha / 2),
            dict(type='SupportTextCrossEntropy', loss_weight=alpha / 2),
        ],
        merge='mixture',
        text_weight=alpha,
        # CLIP's own factor of cosines; the paper gives none.
        text_scale=100.0,
    ),
)
