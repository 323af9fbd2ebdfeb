# HyRSM with the effective recipe of its public code for Kinetics.
# Other benchmarks: lr 5e-5 (HMDB51, UCF101), 1e-4 (SSv2); episodes 2k, 2.5k, 20k (SSv2-Small), 40k (SSv2-Full).
#   python tools/train.py configs/hyrsm/hyrsm_resnet50_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/hyrsm/hyrsm_resnet50_5way-1shot_toy-motion_public.py work_dirs/hyrsm_resnet50_5way-1shot_toy-motion_public/best_*.pth
_base_ = './hyrsm_resnet50_5way-1shot_toy-motion.py'

# 0.01 is added to the product of the norms.
model = dict(cls_head=dict(matching=dict(eps=0.01)))
# 1,200 episodes, one at a time, 16 a step, at a constant rate. The auxiliary classification of the public code over the
# classes of meta-training is not part of this preset.
train_cfg = dict(max_epochs=2)
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=5), dataset=dict(num_episodes=600))
optim_wrapper = dict(optimizer=dict(lr=2.2e-5), accumulative_counts=16)
param_scheduler = []
test_dataloader = dict(dataset=dict(num_episodes=10000))
