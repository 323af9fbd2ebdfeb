# HyRSM with ResNet-50 on SSv2-Small, 5-way 5-shot.
#   python tools/train.py configs/hyrsm/hyrsm_resnet50_5way-5shot_ssv2-small.py
#   python tools/test.py configs/hyrsm/hyrsm_resnet50_5way-5shot_ssv2-small.py work_dirs/hyrsm_resnet50_5way-5shot_ssv2-small/best_*.pth
_base_ = [
    '../_base_/models/hyrsm_resnet50.py',
    '../_base_/datasets/ssv2_small.py',
    '../_base_/pipelines/crop_224.py',
    '../_base_/episodes/5way-5shot.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
