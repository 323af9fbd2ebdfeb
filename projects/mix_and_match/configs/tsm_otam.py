# MMAction2's TSM, its backbone as in its own configs, with OTAM instead of a classifier.
#   python tools/train.py projects/mix_and_match/configs/tsm_otam.py
#   python tools/test.py projects/mix_and_match/configs/tsm_otam.py work_dirs/tsm_otam/best_*.pth
_base_ = [
    '../../../configs/_base_/models/resnet.py',
    '../../../configs/_base_/datasets/toy_motion.py',
    '../../../configs/_base_/schedules/adamw_toy.py',
    '../../../configs/_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetTSM',
        depth=50,
        norm_eval=False,
        shift_div=8,
        num_segments=8,
        # From random weights. For ImageNet's: pretrained2d=True and their address as pretrained.
        pretrained2d=False,
    ),
    cls_head=dict(matching=dict(type='OTAM', smoothing=0.1)),
)
