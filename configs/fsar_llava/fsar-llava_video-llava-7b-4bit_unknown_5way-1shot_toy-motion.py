# The frozen model in 4 bit, meant for GPUs with 8 GB (not measured).  pip install '.[quantization]'
#   python tools/train.py configs/fsar_llava/fsar-llava_video-llava-7b-4bit_unknown_5way-1shot_toy-motion.py
#   python tools/test.py configs/fsar_llava/fsar-llava_video-llava-7b-4bit_unknown_5way-1shot_toy-motion.py work_dirs/fsar-llava_video-llava-7b-4bit_unknown_5way-1shot_toy-motion/best_*.pth
_base_ = './fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py'

model = dict(backbone=dict(quantization='4bit', max_batch_size=2))
