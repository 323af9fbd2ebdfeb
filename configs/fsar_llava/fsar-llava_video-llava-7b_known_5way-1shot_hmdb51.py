# FSAR-LLaVA with Video-LLaVA-7B and Known prompts on HMDB51, 5-way 1-shot.
#   python tools/train.py configs/fsar_llava/fsar-llava_video-llava-7b_known_5way-1shot_hmdb51.py
#   python tools/test.py configs/fsar_llava/fsar-llava_video-llava-7b_known_5way-1shot_hmdb51.py work_dirs/fsar-llava_video-llava-7b_known_5way-1shot_hmdb51/best_*.pth
_base_ = [
    '../_base_/models/fsar_llava.py',
    '../_base_/datasets/hmdb51.py',
    '../_base_/pipelines/mllm_224.py',
    '../_base_/episodes/5way-1shot.py',
    '../_base_/schedules/adamw_episodes.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(sampler=_base_.train_sampler, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = dict(sampler=_base_.eval_sampler, dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
model = dict(prompts='known')
