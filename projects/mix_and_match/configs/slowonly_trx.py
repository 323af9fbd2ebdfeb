# MMAction2's SlowOnly with TRX over its time steps.
#   python tools/train.py projects/mix_and_match/configs/slowonly_trx.py
#   python tools/test.py projects/mix_and_match/configs/slowonly_trx.py work_dirs/slowonly_trx/best_*.pth
_base_ = [
    '../../../configs/_base_/models/slowonly.py',
    '../../../configs/_base_/datasets/toy_motion_3d.py',
    '../../../configs/_base_/schedules/adamw_toy.py',
    '../../../configs/_base_/default_runtime.py',
]

model = dict(
    cls_head=dict(matching=dict(type='TRX', in_channels=2048, cardinalities=(2, 3), out_channels=256)),
)
