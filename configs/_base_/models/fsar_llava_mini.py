# FSAR-LLaVA on the miniature Video-LLaVA of projects/mini_video_llava, which was trained on SyntheticMotion.
_base_ = './fsar_llava.py'

model = dict(
    backbone=dict(
        model='projects/mini_video_llava/weights',
        # Of six. Chosen on meta-validation; see the project's README.
        layer=4,
        grid=2,
        dtype='float32',
        max_batch_size=None,
    ),
    neck=dict(in_channels=160, channels=64, num_heads=4),
    cls_head=dict(
        prototype=dict(channels=64, num_heads=4, merge='sum'),
        # Temperatures that do well on meta-validation, as does the learning rate of the configs.
        matching=dict(temperature=0.05, fusion_temperature=0.3),
        temperature=0.05,
    ),
)
