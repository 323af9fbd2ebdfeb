# A stock MMAction2 Recognizer2D with the usual ResNet-50 of the field, trained on ImageNet.
_base_ = './resnet.py'

model = dict(
    backbone=dict(
        depth=50,
        pretrained='https://download.pytorch.org/models/resnet50-11ad3fa6.pth',
    ),
)
