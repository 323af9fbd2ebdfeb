# What the benchmarks share. Their files say where the data is; the leaf sets sampler and pipeline.
# To choose the checkpoint on the test classes, as papers do (the result is marked):
#   --cfg-options val_dataloader.dataset.dataset.ann_file=test.txt
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=1000,
        dataset=dict(type='VideoDataset', ann_file='train.txt', data_prefix=dict(video='videos'), delimiter='\t'),
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=1000,
        dataset=dict(
            type='VideoDataset',
            ann_file='val.txt',
            data_prefix=dict(video='videos'),
            delimiter='\t',
            test_mode=True,
        ),
    ),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='repeat_pseudo_collate'),
    dataset=dict(
        type='EpisodicDataset',
        num_episodes=10000,
        dataset=dict(
            type='VideoDataset',
            ann_file='test.txt',
            data_prefix=dict(video='videos'),
            delimiter='\t',
            test_mode=True,
        ),
    ),
)
val_evaluator = dict(type='FewShotMetric')
test_evaluator = dict(type='FewShotMetric')
