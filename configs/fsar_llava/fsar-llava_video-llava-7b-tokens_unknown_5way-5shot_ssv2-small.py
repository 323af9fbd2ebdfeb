# FSAR-LLaVA on SSv2-Small, 5-way 5-shot, from stored tokens: the 7B model runs once; training and test need it no more.
#   python tools/extract_tokens.py configs/fsar_llava/fsar-llava_video-llava-7b_unknown_5way-5shot_ssv2-small.py --out data/ssv2_small/tokens
#   python tools/train.py configs/fsar_llava/fsar-llava_video-llava-7b-tokens_unknown_5way-5shot_ssv2-small.py
#   python tools/test.py configs/fsar_llava/fsar-llava_video-llava-7b-tokens_unknown_5way-5shot_ssv2-small.py work_dirs/fsar-llava_video-llava-7b-tokens_unknown_5way-5shot_ssv2-small/best_*.pth
_base_ = './fsar-llava_video-llava-7b_unknown_5way-5shot_ssv2-small.py'

store = f'{_base_.data_root}/tokens'
pipeline = [
    dict(type='LoadVideoTokens', store=store),
    dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts')),
]

model = dict(
    data_preprocessor=dict(_delete_=True, type='TokenDataPreprocessor'),
    backbone=dict(_delete_=True, type='StoredTokens', store=store),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline)))
val_dataloader = dict(batch_size=8, dataset=dict(dataset=dict(pipeline=pipeline)))
test_dataloader = dict(batch_size=8, dataset=dict(dataset=dict(pipeline=pipeline)))
