# CLIP-M2DF with CLIP ViT-B/16 on HMDB51, 5-way 5-shot.
#   python tools/train.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-5shot_hmdb51.py
#   python tools/test.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-5shot_hmdb51.py work_dirs/clip-m2df_clip-vit-b16_5way-5shot_hmdb51/best_*.pth
_base_ = [
    '../_base_/models/clip_m2df.py',
    '../_base_/datasets/hmdb51.py',
    '../_base_/pipelines/crop_flip_224.py',
    '../_base_/episodes/5way-5shot.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
