# Whole models that start from pretrained weights: Adam at a small rate, a step for every 8 batches of the dataloader.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=1)
# Every video is encoded once; ValLoop and TestLoop give the same numbers episode by episode.
val_cfg = dict(type='FeatureBankValLoop')
test_cfg = dict(type='FeatureBankTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-5),
    accumulative_counts=8,
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True)]
auto_scale_lr = dict(enable=False, base_batch_size=2)
