# SSv2-Small:
#   python tools/data/prepare.py ssv2_small --videos 20bn-something-something-v2 --lists train.txt val.txt test.txt
# FSAR_DATA_ROOT is the folder above all datasets.
_base_ = './benchmark.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/ssv2_small'
classes = f'{data_root}/classes.txt'

train_dataloader = dict(dataset=dict(num_episodes=3000, classes=classes, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
