#   python tools/train.py configs/ma_fsar/ma-fsar_tiny_5way-5shot_toy-motion.py
#   python tools/test.py configs/ma_fsar/ma-fsar_tiny_5way-5shot_toy-motion.py work_dirs/ma-fsar_tiny_5way-5shot_toy-motion/best_*.pth
_base_ = './ma-fsar_tiny_5way-1shot_toy-motion.py'

train_dataloader = dict(sampler=dict(num_shots=5))
val_dataloader = dict(sampler=dict(num_shots=5))
test_dataloader = dict(sampler=dict(num_shots=5))
