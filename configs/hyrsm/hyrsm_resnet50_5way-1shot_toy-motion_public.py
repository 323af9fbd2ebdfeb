# HyRSM with the effective recipe of its public code for Kinetics.
# Of other benchmarks, in the order of HMDB51, UCF101, SSv2-Small, SSv2-Full: lr 5e-5, 5e-5, 1e-4, 1e-4; episodes 2k,
# 2.5k, 20k, 40k; warm-up from 0.2 of the rate in 300, 700, 1500, 3000; then 0.5, 0.1 and 0.01 of it from 300, 600 and
# 1200, 0.5 and 0.1 from 1400 and 2100, 0.1 and 0.01 from 3000 and 6000, 0.1 and 0.01 from 9000 and 15000.
#   python tools/train.py configs/hyrsm/hyrsm_resnet50_5way-1shot_toy-motion_public.py
#   python tools/test.py configs/hyrsm/hyrsm_resnet50_5way-1shot_toy-motion_public.py work_dirs/hyrsm_resnet50_5way-1shot_toy-motion_public/best_*.pth
_base_ = './hyrsm_resnet50_5way-1shot_toy-motion.py'

# 1,200 episodes of 7 queries a class, one at a time, 4 a step (HMDB51: 2): 16 by name, on four GPUs, but these draw the
# same episodes. The auxiliary classification of the public code over the classes of meta-training is not part of this
# preset.
train_cfg = dict(max_epochs=2)
train_dataloader = dict(batch_size=1, sampler=dict(num_queries=7), dataset=dict(num_episodes=600))
auto_scale_lr = dict(base_batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=2.2e-5), accumulative_counts=4)
# Behind the warm-up the schedule runs at twice the configured speed: to 0.5, 0.1 and 0.05 of the rate.
param_scheduler = [
    dict(type='LinearLR', start_factor=5 / 22, by_epoch=False, end=100),
    dict(type='MultiStepLR', milestones=[200], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[300], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[500], gamma=0.5, by_epoch=False),
]
test_dataloader = dict(dataset=dict(num_episodes=10000))
