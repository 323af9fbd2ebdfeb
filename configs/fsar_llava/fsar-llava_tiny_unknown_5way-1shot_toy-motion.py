# FSAR-LLaVA on a random miniature Video-LLaVA; shows that everything works, not what an MLLM knows.
#   python tools/train.py configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py work_dirs/fsar-llava_tiny_unknown_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/fsar_llava_tiny.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]
