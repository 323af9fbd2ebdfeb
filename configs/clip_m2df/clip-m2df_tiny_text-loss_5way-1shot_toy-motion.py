# With the text loss over all classes of meta-training, which is off by default.
#   python tools/train.py configs/clip_m2df/clip-m2df_tiny_text-loss_5way-1shot_toy-motion.py
#   python tools/test.py configs/clip_m2df/clip-m2df_tiny_text-loss_5way-1shot_toy-motion.py work_dirs/clip-m2df_tiny_text-loss_5way-1shot_toy-motion/best_*.pth
_base_ = './clip-m2df_tiny_5way-1shot_toy-motion.py'

model = dict(
    neck=dict(
        type='ClassTextSupervision',
        text_encoder=dict(type='CLIPTextEncoder', architecture='tiny'),
        classes=_base_.train_dataloader.dataset.classes,
        ann_file=_base_.train_dataloader.dataset.dataset.ann_file,
        delimiter=_base_.train_dataloader.dataset.dataset.delimiter,
        scale=100.0,
        top_frames=4,
        loss_weight=1.0,
    ),
)
