# SyntheticMotion: generated videos of motion programs, most of which differ in temporal order alone from another.
#   python tools/data/make_synthetic_motion.py --out data/synthetic_motion
_base_ = './toy_motion.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/synthetic_motion'
classes = f'{data_root}/classes.txt'
data_prefix = dict(video=f'{data_root}/videos')

train_dataloader = dict(
    dataset=dict(classes=classes, dataset=dict(ann_file=f'{data_root}/train.txt', data_prefix=data_prefix))
)
val_dataloader = dict(
    dataset=dict(classes=classes, dataset=dict(ann_file=f'{data_root}/val.txt', data_prefix=data_prefix))
)
test_dataloader = dict(
    dataset=dict(classes=classes, dataset=dict(ann_file=f'{data_root}/test.txt', data_prefix=data_prefix))
)
