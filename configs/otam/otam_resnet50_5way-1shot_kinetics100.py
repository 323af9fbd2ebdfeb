# OTAM with ResNet-50 on Kinetics-100, 5-way 1-shot.
#   python tools/train.py configs/otam/otam_resnet50_5way-1shot_kinetics100.py
#   python tools/test.py configs/otam/otam_resnet50_5way-1shot_kinetics100.py work_dirs/otam_resnet50_5way-1shot_kinetics100/best_*.pth
_base_ = [
    '../_base_/models/otam_resnet50.py',
    '../_base_/datasets/kinetics100.py',
    '../_base_/pipelines/crop_flip_224.py',
    '../_base_/episodes/5way-1shot.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
