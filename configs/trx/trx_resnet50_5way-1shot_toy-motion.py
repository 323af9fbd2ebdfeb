# TRX with pairs and triples of frames, on MMAction2's own Recognizer2D with ResNet-50.
#   python tools/train.py configs/trx/trx_resnet50_5way-1shot_toy-motion.py
#   python tools/test.py configs/trx/trx_resnet50_5way-1shot_toy-motion.py work_dirs/trx_resnet50_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

# 16 episodes a step, two at a time.
train_dataloader = dict(batch_size=2, dataset=dict(num_episodes=1000))

model = dict(
    cls_head=dict(
        matching=dict(type='TRX', in_channels=2048, cardinalities=(2, 3), out_channels=1152),
    ),
)
