# Random crops, but no flips: where left and right tell classes apart. Eight frames, one from each eighth, 224 x 224.
num_frames = 8

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, keep_tail_frames=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
