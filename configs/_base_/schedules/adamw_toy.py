# A short schedule for the generated videos: 5 epochs of 100 episodes, 4 episodes a step.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=5, val_interval=1)
# Every video is encoded once; ValLoop and TestLoop give the same numbers episode by episode.
val_cfg = dict(type='FeatureBankValLoop')
test_cfg = dict(type='FeatureBankTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True),
]
# --auto-scale-lr scales the learning rate linearly with the number of episodes a step.
auto_scale_lr = dict(enable=False, base_batch_size=4)
