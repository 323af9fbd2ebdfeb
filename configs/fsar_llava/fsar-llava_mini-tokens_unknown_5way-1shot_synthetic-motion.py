# The same from stored tokens: the language model runs once for every video, then a thousand episodes train in a minute or two.
#   python tools/extract_tokens.py configs/fsar_llava/fsar-llava_mini_unknown_5way-1shot_synthetic-motion.py --out data/synthetic_motion/tokens
#   python tools/train.py configs/fsar_llava/fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion.py work_dirs/fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion/best_*.pth
_base_ = './fsar-llava_mini_unknown_5way-1shot_synthetic-motion.py'

store = f'{_base_.data_root}/tokens'
pipeline = [
    dict(type='LoadVideoTokens', store=store),
    dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts')),
]

model = dict(
    data_preprocessor=dict(_delete_=True, type='TokenDataPreprocessor'),
    backbone=dict(_delete_=True, type='StoredTokens', store=store),
)
# Reading tokens takes less time than handing them over from another process.
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(pipeline=pipeline)))
train_dataloader = dict(loader, dataset=dict(loader['dataset'], num_episodes=200))
val_dataloader = loader
test_dataloader = loader
