#   python tools/train.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-5shot_toy-motion.py
#   python tools/test.py configs/clip_m2df/clip-m2df_clip-vit-b16_5way-5shot_toy-motion.py work_dirs/clip-m2df_clip-vit-b16_5way-5shot_toy-motion/best_*.pth
_base_ = './clip-m2df_clip-vit-b16_5way-1shot_toy-motion.py'

train_dataloader = dict(sampler=dict(num_shots=5))
val_dataloader = dict(sampler=dict(num_shots=5))
test_dataloader = dict(sampler=dict(num_shots=5))
