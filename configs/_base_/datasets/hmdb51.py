# HMDB51:
#   python tools/data/prepare.py hmdb51 --videos HMDB51
# FSAR_DATA_ROOT is the folder above all datasets.
_base_ = './benchmark.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/hmdb51'
classes = f'{data_root}/classes.txt'

train_dataloader = dict(dataset=dict(num_episodes=1000, classes=classes, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
