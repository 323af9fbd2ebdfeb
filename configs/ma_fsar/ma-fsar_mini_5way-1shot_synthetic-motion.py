# MA-FSAR on the miniature CLIP of projects/mini_clip and SyntheticMotion.
#   python tools/train.py configs/ma_fsar/ma-fsar_mini_5way-1shot_synthetic-motion.py
#   python tools/test.py configs/ma_fsar/ma-fsar_mini_5way-1shot_synthetic-motion.py work_dirs/ma-fsar_mini_5way-1shot_synthetic-motion/best_*.pth
_base_ = [
    '../_base_/models/ma_fsar.py',
    '../_base_/datasets/synthetic_motion.py',
    '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py',
]

# The texts of new classes tell next to nothing about the mean of a clip's frames.
alpha = 0.1
model = dict(
    backbone=dict(model='projects/mini_clip/weights', adapter_channels=64),
    cls_head=dict(
        modulation=dict(channels=128, num_heads=4, ffn_channels=256),
        losses=[
            dict(type='FewShotCrossEntropy', parts=('matching',), loss_weight=1 - alpha),
            dict(type='FewShotCrossEntropy', parts=('query_text',), loss_weight=alpha / 2),
            dict(type='SupportTextCrossEntropy', loss_weight=alpha / 2),
        ],
        text_weight=alpha,
    ),
)
# 800 episodes in all. The adapters move slowly: they would disturb more than the new layer finds.
train_dataloader = dict(dataset=dict(num_episodes=160))
optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05))))
