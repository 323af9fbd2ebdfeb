# Ordinary classification by MMAction2's own I3DHead on the frozen Video-LLaVA.
# Run with the repository in PYTHONPATH, for the backbone of this project.
#   python tools/train.py projects/mix_and_match/configs/video-llava_i3d-head.py
#   python tools/test.py projects/mix_and_match/configs/video-llava_i3d-head.py work_dirs/video-llava_i3d-head/best_*.pth
_base_ = [
    '../../../configs/_base_/models/fsar_llava_tiny.py',
    '../../../configs/_base_/datasets/toy_motion_3d.py',
    '../../../configs/_base_/schedules/adamw_toy.py',
    '../../../configs/_base_/default_runtime.py',
]

custom_imports = dict(imports=['fsar_llava', 'projects.mix_and_match.mllm_feature_map'], allow_failed_imports=False)

# Videos one by one, not episodes.
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

model = dict(
    _delete_=True,
    type='Recognizer3D',
    data_preprocessor=dict(_base_.model.data_preprocessor, format_shape='NCTHW'),
    backbone=dict(type='MLLMFeatureMap', mllm=_base_.model.backbone, num_frames=8),
    cls_head=dict(type='I3DHead', num_classes=24, in_channels=128, average_clips='prob'),
)

# Ordinary classification: the classes of training and test are the same, hence the same list here.
train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(_base_.train_dataloader.dataset.dataset),
)
val_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(_base_.train_dataloader.dataset.dataset, pipeline=_base_.test_pipeline, test_mode=True),
)
test_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(_base_.train_dataloader.dataset.dataset, pipeline=_base_.test_pipeline, test_mode=True),
)
val_evaluator = dict(_delete_=True, type='AccMetric')
test_evaluator = dict(_delete_=True, type='AccMetric')
default_hooks = dict(checkpoint=dict(save_best='acc/top1'), visualization=dict(_delete_=True, type='VisualizationHook'))
