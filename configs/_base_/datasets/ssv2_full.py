# SSv2-Full:
#   python tools/data/prepare.py ssv2_full --videos 20bn-something-something-v2 --official TRAIN.json VALIDATION.json
# FSAR_DATA_ROOT is the folder above all datasets.
_base_ = './benchmark.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/ssv2_full'
classes = f'{data_root}/classes.txt'

train_dataloader = dict(dataset=dict(num_episodes=4000, classes=classes, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
