# The multimodal model's own preprocessing: eight frames, one from each eighth of the video, no augmentation but their
# choice in training.
num_frames = 8

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, keep_tail_frames=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
