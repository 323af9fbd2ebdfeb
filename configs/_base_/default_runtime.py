# What every run shares.
default_scope = 'mmaction'
custom_imports = dict(imports=['fsar_llava'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The best checkpoint is chosen on the meta-validation classes, never on the meta-test classes.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='few_shot/acc', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    visualization=dict(type='EpisodeVisualizationHook', enable=False),
)
custom_hooks = [
    dict(type='BackboneIdentityHook', strict=True),
    dict(type='ProgressBarHook'),
    dict(type='ProtocolHook'),
    dict(type='LoadedWeightsHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
