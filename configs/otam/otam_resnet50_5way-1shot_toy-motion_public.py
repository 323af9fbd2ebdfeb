# OTAM on ResNet-50 with the effective recipe of its public code.
#   python tools/train.py configs/otam/otam_resnet50_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/otam/otam_resnet50_5way-1shot_toy-motion_public.py work_dirs/otam_resnet50_5way-1shot_toy-motion_public/best_*.pth
_base_ = [
    '../_base_/models/otam_resnet50.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

# 0.01 is added to the product of the norms.
model = dict(cls_head=dict(matching=dict(eps=0.01)))
# Plain SGD at a constant rate, one episode a step.
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=5), dataset=dict(num_episodes=1000))
auto_scale_lr = dict(base_batch_size=1)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1e-3), accumulative_counts=1)
param_scheduler = []
test_dataloader = dict(dataset=dict(num_episodes=10000))
