# The real Video-LLaVA-7B (14 GB of weights, meant for a GPU with 24 GB, not measured) on the generated videos.
#   python tools/train.py configs/fsar_llava/fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py work_dirs/fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/fsar_llava.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=1e-4))
