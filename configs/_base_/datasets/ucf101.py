# UCF101:
#   python tools/data/prepare.py ucf101 --videos UCF-101
# FSAR_DATA_ROOT is the folder above all datasets.
_base_ = './benchmark.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/ucf101'
classes = f'{data_root}/classes.txt'

train_dataloader = dict(dataset=dict(num_episodes=1000, classes=classes, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
