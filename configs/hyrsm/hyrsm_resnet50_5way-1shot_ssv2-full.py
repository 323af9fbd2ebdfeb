# HyRSM with ResNet-50 on SSv2-Full, 5-way 1-shot.
#   python tools/train.py configs/hyrsm/hyrsm_resnet50_5way-1shot_ssv2-full.py
#   python tools/test.py configs/hyrsm/hyrsm_resnet50_5way-1shot_ssv2-full.py work_dirs/hyrsm_resnet50_5way-1shot_ssv2-full/best_*.pth
_base_ = [
    '../_base_/models/hyrsm_resnet50.py',
    '../_base_/datasets/ssv2_full.py',
    '../_base_/pipelines/crop_224.py',
    '../_base_/episodes/5way-1shot.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
