# The generated videos at the input size of full-size models.
_base_ = './toy_motion.py'

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=8),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8, keep_tail_frames=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=8),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=test_pipeline)))
