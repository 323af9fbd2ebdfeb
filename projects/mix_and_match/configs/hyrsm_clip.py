# HyRSM on CLIP instead of ResNet: the backbone changes, and with it the width alone.
#   python tools/train.py projects/mix_and_match/configs/hyrsm_clip.py
#   python tools/test.py projects/mix_and_match/configs/hyrsm_clip.py work_dirs/hyrsm_clip/best_*.pth
_base_ = '../../../configs/hyrsm/hyrsm_resnet18_5way-1shot_toy-motion.py'

model = dict(
    backbone=dict(_delete_=True, type='CLIPBackbone', architecture='tiny', text=False),
    # CLIP's features have negative parts.
    cls_head=dict(modulation=dict(channels=32, relu=False)),
)
