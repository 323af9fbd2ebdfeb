# CLIP-FSAR on CLIP ViT-B/16, all of the visual encoder trained.
#   python tools/train.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_toy-motion.py
#   python tools/test.py configs/clip_fsar/clip-fsar_clip-vit-b16_5way-1shot_toy-motion.py work_dirs/clip-fsar_clip-vit-b16_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/clip_fsar.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

# 16 episodes a step, two at a time.
train_dataloader = dict(batch_size=2, dataset=dict(num_episodes=1000))

model = dict(
    neck=dict(
        classes=_base_.train_dataloader.dataset.classes,
        ann_file=_base_.train_dataloader.dataset.dataset.ann_file,
        delimiter=_base_.train_dataloader.dataset.dataset.delimiter,
    ),
)
