# TRX with pairs and triples of frames, on MMAction2's own Recognizer2D with ResNet-18.
#   python tools/train.py configs/trx/trx_resnet18_5way-1shot_toy-motion.py
#   python tools/test.py configs/trx/trx_resnet18_5way-1shot_toy-motion.py work_dirs/trx_resnet18_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet.py',
    '../_base_/datasets/toy_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(
        matching=dict(type='TRX', in_channels=512, cardinalities=(2, 3), out_channels=128),
    ),
)
