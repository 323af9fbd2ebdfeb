# MMAction2's VideoMAE with a bidirectional mean Hausdorff metric over its time steps.
#   python tools/train.py projects/mix_and_match/configs/videomae_bi-mhm.py
#   python tools/test.py projects/mix_and_match/configs/videomae_bi-mhm.py work_dirs/videomae_bi-mhm/best_*.pth
_base_ = [
    '../../../configs/_base_/models/slowonly.py',
    '../../../configs/_base_/datasets/toy_motion_3d.py',
    '../../../configs/_base_/schedules/adamw_toy.py',
    '../../../configs/_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        img_size=64,
        patch_size=16,
        embed_dims=768,
        depth=12,
        num_heads=12,
        mlp_ratio=4,
        qkv_bias=True,
        num_frames=8,
        norm_cfg=dict(type='LN', eps=1e-6),
        # Tokens in place of their mean: the metric compares time steps.
        return_feat_map=True,
    ),
    cls_head=dict(matching=dict(type='BiMHM', reduction='mean'), temperature=0.07),
)
