# The tuned parts in bfloat16 autocast as well (the frozen model always runs in bfloat16). Needs a GPU.
#   python tools/train.py configs/fsar_llava/fsar-llava_video-llava-7b-bf16_unknown_5way-1shot_toy-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_video-llava-7b-bf16_unknown_5way-1shot_toy-motion.py work_dirs/fsar-llava_video-llava-7b-bf16_unknown_5way-1shot_toy-motion/best_*.pth
_base_ = './fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py'

# No loss scaling: bfloat16 has the range of float32.
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=1.0)
