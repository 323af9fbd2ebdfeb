# Nothing is trained: matching metrics on the features that FSAR-LLaVA starts from, all from one pass over the tokens.
#   python tools/extract_tokens.py configs/fsar_llava/fsar-llava_mini_unknown_5way-1shot_synthetic-motion.py --out data/synthetic_motion/tokens
#   python tools/test.py configs/fsar_llava/training-free_mini_5way-1shot_synthetic-motion.py none
_base_ = './fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion.py'

model = dict(
    neck=None,
    cls_head=dict(_delete_=True, type='PrototypeHead', matching=dict(type='BiMHM', reduction='mean')),
)
test_cfg = dict(
    settings=[
        dict(name='ProtoNet', matching=dict(type='CosineMatching'), prototype=dict(type='MeanPrototype')),
        dict(name='OTAM', matching=dict(type='OTAM', smoothing=0.1)),
        dict(name='Bi-MHM', matching=dict(type='BiMHM', reduction='mean')),
    ]
)
