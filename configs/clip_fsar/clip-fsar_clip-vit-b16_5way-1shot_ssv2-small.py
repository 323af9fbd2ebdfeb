# CLIP-FSAR with CLIP ViT-B/16 on SSv2-Small, 5-way 1-shot.
#   python tools/train.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_ssv2-small.py
#   python tools/test.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_ssv2-small.py work_dirs/clip-fsar_clip-vit-b16_5way-1shot_ssv2-small/best_*.pth
_base_ = [
    '../_base_/models/clip_fsar.py',
    '../_base_/datasets/ssv2_small.py',
    '../_base_/pipelines/crop_224.py',
    '../_base_/episodes/5way-1shot.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
# The auxiliary loss needs the names of all training classes.
model = dict(neck=dict(classes=_base_.classes, ann_file=f'{_base_.data_root}/train.txt', delimiter='\t'))
