# TRX with the effective recipe of its public code.
#   python tools/train.py configs/trx/trx_resnet50_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/trx/trx_resnet50_5way-1shot_toy-motion_public.py work_dirs/trx_resnet50_5way-1shot_toy-motion_public/best_*.pth
_base_ = './trx_resnet50_5way-1shot_toy-motion.py'

# The cross-entropy is summed over the queries of an episode.
model = dict(cls_head=dict(losses=dict(type='FewShotCrossEntropy', reduction='sum')))
# One episode at a time, 16 a step; plain SGD without momentum at a constant rate. For 10,000 episodes, as long as the
# clean config; the public code goes on to 75,000 on SSv2.
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=5), dataset=dict(num_episodes=1000))
auto_scale_lr = dict(base_batch_size=1)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1e-3), accumulative_counts=16)
param_scheduler = []
test_dataloader = dict(dataset=dict(num_episodes=10000))
