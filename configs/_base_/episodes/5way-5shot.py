# 5-way 5-shot as the field trains and tests it: 5 queries of each class in training, 1 in validation and test.
# The seed of training is the run's; validation and test always see the same episodes.
train_sampler = dict(type='EpisodicSampler', num_ways=5, num_shots=5, num_queries=5)
eval_sampler = dict(type='EpisodicSampler', num_ways=5, num_shots=5, num_queries=1, seed=0, shuffle=False)
