# TSN baseline: frame features are averaged over time, queries go to the nearest class mean by cosine.
#   python tools/train.py configs/tsn/tsn_resnet50_5way-1shot_toy-motion.py
#   python tools/test.py configs/tsn/tsn_resnet50_5way-1shot_toy-motion.py work_dirs/tsn_resnet50_5way-1shot_toy-motion/best_*.pth
_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/toy_motion_224.py',
    '../_base_/schedules/adam_clip.py',
    '../_base_/default_runtime.py',
]

# 16 episodes a step, two at a time.
train_dataloader = dict(batch_size=2, dataset=dict(num_episodes=1000))

model = dict(
    cls_head=dict(
        prototype=dict(type='MeanPrototype'),
        matching=dict(type='CosineMatching'),
        temperature=0.1,
    ),
)
