# MA-FSAR on CLIP ViT-B/16; 18.5 M of its parameters are tuned.
#   python tools/train.py configs/ma_fsar/ma-fsar_clip-vit-b16_5way-1shot_toy-motion.py
#   python tools/test.py configs/ma_fsar/ma-fsar_clip-vit-b16_5way-1shot_toy-motion.py work_dirs/ma-fsar_clip-vit-b16_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/ma_fsar.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

# 16 episodes a step, two at a time.
train_dataloader = dict(batch_size=2, dataset=dict(num_episodes=1000))

# Adapters start at zero and bear a larger rate than a whole CLIP [R].
optim_wrapper = dict(optimizer=dict(lr=2e-4))
