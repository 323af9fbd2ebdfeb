# Kinetics-100:
#   python tools/data/prepare.py kinetics100 --videos kinetics --lists train.txt val.txt test.txt
# FSAR_DATA_ROOT is the folder above all datasets.
_base_ = './benchmark.py'

data_root = '{{$FSAR_DATA_ROOT:data}}/kinetics100'
classes = f'{data_root}/classes.txt'

train_dataloader = dict(dataset=dict(num_episodes=1000, classes=classes, dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(classes=classes, dataset=dict(data_root=data_root)))
