# FSAR-LLaVA on the miniature Video-LLaVA and SyntheticMotion, unknown prompts.
#   python tools/train.py configs/fsar_llava/fsar-llava_mini_unknown_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_mini_unknown_5way-1shot_synthetic-motion.py work_dirs/fsar-llava_mini_unknown_5way-1shot_synthetic-motion/best_*.pth
_base_ = [
    '../_base_/models/fsar_llava_mini.py',
    '../_base_/datasets/synthetic_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=3e-3))
