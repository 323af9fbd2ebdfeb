# The generated videos as clips for 3D backbones: one clip of eight frames from the whole video.
_base_ = './toy_motion.py'

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=8),
    dict(type='UniformSample', clip_len=8),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=64),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=8),
    dict(type='UniformSample', clip_len=8, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=64),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
