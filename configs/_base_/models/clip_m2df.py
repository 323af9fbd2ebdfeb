# CLIP-M2DF (arXiv 2401.08345): a local and a global view of each video, fused with its prompt, that teach each other.
_base_ = './clip_b16.py'

encoder = dict(type='MultimodalFusionEncoder', channels=512, num_heads=8, ffn_channels=2048)

model = dict(
    cls_head=dict(
        type='MultiviewHead',
        selector=dict(type='ProbabilityPromptSelector', scale=200.0, top_frames=4),
        local_view=dict(encoder, context=dict(type='LocalTemporalContext', channels=512)),
        global_view=dict(encoder, context=dict(type='GlobalTemporalContext', channels=512)),
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='OTAM', smoothing=0.5),
        losses=[
            dict(type='FewShotCrossEntropy'),
            # direction='local' or 'global' and visual_condition, textual_condition=False are the ablations.
            dict(type='MutualDistillation', loss_weight=1.0),
        ],
    ),
)
