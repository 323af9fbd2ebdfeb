# Generated videos of moving shapes:  python tools/data/make_toy_videos.py --out data/toy_motion
# FSAR_DATA_ROOT is the folder above all datasets.
data_root = '{{$FSAR_DATA_ROOT:data}}/toy_motion'
num_frames = 8
image_size = 64

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, keep_tail_frames=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=image_size),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(type='WarnShortVideo', num_frames=num_frames),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=num_frames, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='MLLMResizeCrop', size=image_size),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    # The sampler's seed is the run's, see --seed of tools/train.py.
    sampler=dict(type='EpisodicSampler', num_ways=5, num_shots=1, num_queries=2),
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=100,
        classes=f'{data_root}/classes.txt',
        dataset=dict(
            type='VideoDataset',
            ann_file=f'{data_root}/train.txt',
            data_prefix=dict(video=f'{data_root}/videos'),
            delimiter='\t',
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    # Fixed seed, no shuffling: every validation sees the same episodes.
    sampler=dict(type='EpisodicSampler', num_ways=5, num_shots=1, num_queries=1, seed=0, shuffle=False),
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=1000,
        classes=f'{data_root}/classes.txt',
        dataset=dict(
            type='VideoDataset',
            ann_file=f'{data_root}/val.txt',
            data_prefix=dict(video=f'{data_root}/videos'),
            delimiter='\t',
            pipeline=test_pipeline,
            test_mode=True,
        ),
    ),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='EpisodicSampler', num_ways=5, num_shots=1, num_queries=1, seed=0, shuffle=False),
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=10000,
        classes=f'{data_root}/classes.txt',
        dataset=dict(
            type='VideoDataset',
            ann_file=f'{data_root}/test.txt',
            data_prefix=dict(video=f'{data_root}/videos'),
            delimiter='\t',
            pipeline=test_pipeline,
            test_mode=True,
        ),
    ),
)
val_evaluator = dict(type='FewShotMetric')
test_evaluator = dict(type='FewShotMetric')
