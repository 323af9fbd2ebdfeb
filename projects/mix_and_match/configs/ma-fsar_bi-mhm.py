# MA-FSAR with Bi-MHM instead of OTAM.
#   python tools/train.py projects/mix_and_match/configs/ma-fsar_bi-mhm.py
#   python tools/test.py projects/mix_and_match/configs/ma-fsar_bi-mhm.py work_dirs/ma-fsar_bi-mhm/best_*.pth
_base_ = '../../../configs/ma_fsar/ma-fsar_tiny_5way-1shot_toy-motion.py'

model = dict(cls_head=dict(matching=dict(_delete_=True, type='BiMHM', reduction='sum')))
