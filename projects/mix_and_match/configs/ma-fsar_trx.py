# MA-FSAR with TRX instead of OTAM.
#   python tools/train.py projects/mix_and_match/configs/ma-fsar_trx.py
#   python tools/test.py projects/mix_and_match/configs/ma-fsar_trx.py work_dirs/ma-fsar_trx/best_*.pth
_base_ = '../../../configs/ma_fsar/ma-fsar_tiny_5way-1shot_toy-motion.py'

model = dict(cls_head=dict(matching=dict(_delete_=True, type='TRX', in_channels=32, out_channels=64)))
