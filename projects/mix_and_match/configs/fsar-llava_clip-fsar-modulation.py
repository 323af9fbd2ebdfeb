# CLIP-FSAR's modulation on the features of FSAR-LLaVA: a support's frames read what the MLLM made of its prompt.
#   python tools/train.py projects/mix_and_match/configs/fsar-llava_clip-fsar-modulation.py
#   python tools/test.py projects/mix_and_match/configs/fsar-llava_clip-fsar-modulation.py work_dirs/fsar-llava_clip-fsar-modulation/best_*.pth
_base_ = '../../../configs/fsar_llava/fsar-llava_tiny_known_5way-1shot_toy-motion.py'

model = dict(
    neck=dict(_delete_=True, type='LinearProjection', in_channels=128, channels=64),
    cls_head=dict(
        _delete_=True,
        type='PrototypeHead',
        modulation=dict(type='TextModulation', channels=64, num_heads=4, ffn_channels=128),
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='OTAM', smoothing=0.5),
    ),
)
