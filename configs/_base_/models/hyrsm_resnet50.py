# HyRSM: relations within videos and within the task, then a bidirectional mean Hausdorff metric.
_base_ = './resnet50.py'

model = dict(
    cls_head=dict(
        modulation=dict(type='HybridRelation', channels=2048, num_heads=8, num_frames=8),
        matching=dict(type='BiMHM', reduction='sum'),
    ),
)
