# The schedule of FSAR-LLaVA on real data. A reconstruction: the paper's optimiser settings are not available to us.
# 10 epochs of 1,000 episodes (SSv2-Small 3,000, SSv2-Full 4,000), 8 episodes a step: 4 batches of the dataloader.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=1)
# Every video is encoded once; ValLoop and TestLoop give the same numbers episode by episode.
val_cfg = dict(type='FeatureBankValLoop')
test_cfg = dict(type='FeatureBankTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=4,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=400),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
