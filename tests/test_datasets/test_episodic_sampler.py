from __future__ import annotations

import math
import random
import time
from collections import Counter
from itertools import chain, zip_longest

import numpy as np
import pytest
from mmaction.registry import DATA_SAMPLERS

from fsar_llava import Episode, EpisodeItem
from fsar_llava.datasets import EpisodicSampler, episodic_sampler


class Listing:
    """As much of an EpisodicDataset as the sampler looks at: class c has ``counts[c]`` videos, numbered through."""

    def __init__(self, counts, num_episodes=50):
        bounds = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self.class_to_indices = {c: list(range(bounds[c], bounds[c + 1])) for c in range(len(counts))}
        self.class_names = [f'class {c}' for c in range(len(counts))]
        self.num_episodes = num_episodes

    def __len__(self):
        return self.num_episodes

    def class_of(self, index):
        return next(c for c, indices in self.class_to_indices.items() if index in indices)


UNEQUAL = [7, 12, 6, 30, 9, 6, 8]
# Computed once, with numpy alone: 3-way 2-shot 1-query episodes of seed 5 in epoch 2.
GOLDEN = {
    0: [4, 2, 12, 9, 69, 66, 1, 18, 67],
    1: [63, 56, 21, 23, 17, 15, 55, 20, 12],
    49: [2, 5, 65, 66, 19, 22, 6, 64, 20],
}


def use_rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(episodic_sampler, 'get_dist_info', lambda: (rank, world_size))


def shuffle_start(items, draws):
    """The first elements of a shuffled list; each draw of [0, 1) decides which of the rest comes next."""
    items = list(items)
    for i, draw in enumerate(draws):
        j = i + math.floor(draw * (len(items) - i))
        items[i], items[j] = items[j], items[i]
    return items[: len(draws)]


def test_the_stream_of_episodes_is_frozen():
    """Changing these numbers would silently change every published result that names a seed."""
    sampler = EpisodicSampler(Listing(UNEQUAL), num_ways=3, num_shots=2, num_queries=1, seed=5)
    sampler.set_epoch(2)
    found = {i: [item.index for item in sampler.episode(i).items] for i in (0, 1, 49)}
    assert found == GOLDEN


@pytest.mark.parametrize('groups', [[['class 3', 'class 0', 'class 5'], [1, 'class 6']], [[4, 2]]])
def test_an_episode_of_a_group(groups):
    """One draw for the group, then those of an episode whose classes are the group's."""
    starts = np.cumsum([0, *UNEQUAL]).tolist()
    sampler = EpisodicSampler(Listing(UNEQUAL), num_ways=2, num_shots=3, num_queries=1, seed=9, groups=groups)
    sampler.set_epoch(4)
    for number in range(20):
        draws = np.random.RandomState([9, 0, 4, number]).random_sample(1 + 2 + 2 * 4)
        group = groups[math.floor(draws[0] * len(groups))]
        expected = []
        for way, name in enumerate(shuffle_start(group, draws[1:3])):
            label = int(str(name).removeprefix('class '))
            videos = range(starts[label], starts[label] + UNEQUAL[label])
            expected.append(shuffle_start(videos, draws[3 + 4 * way : 7 + 4 * way]))
        items = sampler.episode(number).items
        assert [item.index for item in items if item.role == 'support'] == [v for way in expected for v in way[:3]]
        assert [item.index for item in items if item.role == 'query'] == [v for way in expected for v in way[3:]]


def test_groups_are_drawn_uniformly_whatever_their_size():
    dataset = Listing(UNEQUAL, num_episodes=6000)
    groups = [['class 0', 'class 1'], ['class 2', 'class 3', 'class 4', 'class 5'], ['class 1', 'class 6']]
    counts, classes = Counter(), Counter()
    for episode in EpisodicSampler(dataset, num_ways=2, seed=1, groups=groups):
        chosen = {dataset.class_of(item.index) for item in episode.items}
        (group,) = [g for g, names in enumerate(groups) if chosen <= {int(name[-1]) for name in names}]
        counts[group] += 1
        classes.update(chosen)
    deviation = (6000 * 1 / 3 * 2 / 3) ** 0.5
    assert all(abs(counts[group] - 2000) < 5 * deviation for group in range(3))
    assert all(abs(classes[c] - 1000) < 5 * deviation for c in (2, 3, 4, 5))


@pytest.mark.parametrize('seed', [0, 3, 2**31 - 1, 2**40 + 1])
def test_an_episode_follows_from_seed_epoch_and_number_alone(seed):
    counts, epoch, number = [6, 9, 7, 20], 3, 17
    draws = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, epoch, number]).random_sample(2 + 2 * 5)
    classes = shuffle_start(range(4), draws[:2])
    starts = [0, 6, 15, 22]
    drawn = [
        shuffle_start(range(starts[c], starts[c] + counts[c]), draws[2 + 5 * way : 7 + 5 * way])
        for way, c in enumerate(classes)
    ]
    expected = [EpisodeItem(v, 'support', way) for way in (0, 1) for v in drawn[way][:3]]
    expected += [EpisodeItem(v, 'query', way) for way in (0, 1) for v in drawn[way][3:]]

    sampler = EpisodicSampler(Listing(counts), num_ways=2, num_shots=3, num_queries=2, seed=seed)
    sampler.set_epoch(epoch)
    for noise in range(3):
        np.random.seed(noise)
        random.seed(noise)
        sampler.episode(noise)
        assert sampler.episode(number) == Episode(number, tuple(expected))


@pytest.mark.parametrize(('ways', 'shots', 'queries'), [(5, 1, 1), (5, 5, 1), (7, 1, 5), (2, 3, 2), (1, 1, 1)])
def test_episodes_are_well_formed(ways, shots, queries):
    dataset = Listing(UNEQUAL)
    for episode in EpisodicSampler(dataset, ways, shots, queries):
        support, query = episode.items[: ways * shots], episode.items[ways * shots :]
        assert [item.way for item in support] == [way for way in range(ways) for _ in range(shots)]
        assert [item.way for item in query] == [way for way in range(ways) for _ in range(queries)]
        assert {item.role for item in support} == {'support'}
        assert {item.role for item in query} == {'query'}
        assert len({item.index for item in episode.items}) == ways * (shots + queries)
        classes = {(item.way, dataset.class_of(item.index)) for item in episode.items}
        assert len(classes) == len({way for way, _ in classes}) == len({c for _, c in classes}) == ways


def test_labels_need_not_count_from_zero():
    dataset = Listing([6, 6, 6])
    dataset.class_to_indices = {40: [3, 4, 5], 7: [0, 1, 2]}
    sampler = EpisodicSampler(dataset, num_ways=2)
    assert {item.index for episode in sampler for item in episode.items} == set(range(6))


@pytest.mark.parametrize('groups', [None, [[0, 1, 2, 3, 4], [6, 5, 4, 3, 2]]])
@pytest.mark.parametrize('num_episodes', [1, 2, 33, 40])
@pytest.mark.parametrize('world_size', [1, 2, 3, 4])
def test_ranks_together_yield_every_episode_once(monkeypatch, num_episodes, world_size, groups):
    dataset = Listing(UNEQUAL, num_episodes)
    alone = list(EpisodicSampler(dataset, seed=1, groups=groups))
    parts = []
    for rank in range(world_size):
        use_rank(monkeypatch, rank, world_size)
        sampler = EpisodicSampler(dataset, seed=1, groups=groups)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler)
    assert len({len(part) for part in parts}) == 1
    # mmengine's collect_results interleaves the ranks like this and cuts off what is beyond len(dataset).
    together = list(chain.from_iterable(zip_longest(*parts)))
    assert together[:num_episodes] == alone
    assert [episode.id for episode in alone] == list(range(num_episodes))


def test_epochs():
    dataset = Listing(UNEQUAL)

    def episodes(epoch, **kwargs):
        sampler = EpisodicSampler(dataset, **kwargs)
        sampler.set_epoch(epoch)
        return list(sampler)

    walked = EpisodicSampler(dataset)
    for epoch in range(4):
        walked.set_epoch(epoch)
        assert list(walked) == episodes(epoch)  # a resumed training starts with a fresh sampler
    items = [episode.items for epoch in range(4) for episode in episodes(epoch)]
    assert len(set(items)) == len(items)
    assert episodes(0, shuffle=False) == episodes(3, shuffle=False) == episodes(0)


def test_seeds():
    dataset = Listing(UNEQUAL)
    streams = {seed: tuple(EpisodicSampler(dataset, seed=seed)) for seed in (0, 1, 2**32, 2**32 + 1)}
    assert len(set(streams.values())) == 4
    assert tuple(EpisodicSampler(dataset, seed=None)) == streams[0]


def test_classes_and_videos_are_drawn_uniformly():
    dataset = Listing([10, 40, 20, 10, 15, 10], num_episodes=6000)
    roles = {'support': Counter(), 'query': Counter()}
    ways = Counter()
    for episode in EpisodicSampler(dataset, num_ways=3, num_shots=2, num_queries=1, seed=11):
        for item in episode.items:
            roles[item.role][item.index] += 1
            if item.role == 'query':
                ways[item.way, dataset.class_of(item.index)] += 1
    # Each class fills each way with probability 1/6; 5 standard deviations of a binomial distribution.
    assert max(abs(ways[way, c] - 1000) for way in range(3) for c in range(6)) < 5 * (6000 * 1 / 6 * 5 / 6) ** 0.5
    for role, per_class in dict(support=2, query=1).items():
        for indices in dataset.class_to_indices.values():
            expected = 3000 * per_class / len(indices)
            assert max(abs(roles[role][index] - expected) for index in indices) < 5 * expected**0.5


def test_listing_ten_thousand_episodes_is_cheap():
    sampler = EpisodicSampler(Listing([100] * 64, num_episodes=10000))
    begin = time.process_time()
    assert sum(len(sampler.episode(i).items) for i in range(10000)) == 100000
    assert time.process_time() - begin < 5


def test_registered():
    sampler = DATA_SAMPLERS.build(dict(type='EpisodicSampler', dataset=Listing(UNEQUAL), num_ways=3))
    assert isinstance(sampler, EpisodicSampler)


@pytest.mark.parametrize(
    ('counts', 'kwargs', 'message'),
    [
        ([6, 6], dict(), r'5-way episodes need at least 5 classes, but the dataset has 2\. Lower num_ways to 2'),
        (
            [6, 1, 6, 6, 3],
            dict(num_shots=2, num_queries=2),
            r"need 4 videos .*2 of 5 .*'class 1' has 1, 'class 4' has 3",
        ),
        ([6], dict(num_ways=0), r'num_ways must be an integer of at least 1, but is 0\.'),
        ([6], dict(num_shots=0), r'num_shots must be an integer of at least 1, but is 0\.'),
        ([6], dict(num_queries=-2), r'num_queries must be an integer of at least 1, but is -2\.'),
        ([6], dict(num_ways='five'), r"num_ways must be an integer of at least 1, but is 'five'\."),
        ([6], dict(num_ways=5.0), r'num_ways must be an integer of at least 1, but is 5\.0\.'),
        ([6], dict(num_shots=2.5), r'num_shots must be an integer of at least 1, but is 2\.5\.'),
        ([6], dict(num_queries=True), r'num_queries must be an integer of at least 1, but is True\.'),
        ([6], dict(num_queries=None), r'num_queries must be an integer of at least 1, but is None\.'),
        ([6], dict(num_ways=1, seed=-1), r'seed must be an integer of at least 0, but is -1\.'),
        ([6], dict(num_ways=1, seed=1.5), r'seed must be an integer of at least 0, but is 1\.5\.'),
        ([6], dict(num_ways=1, seed='one'), r"seed must be an integer of at least 0, but is 'one'\."),
        ([6], dict(num_ways=1, seed=2**64), r'seed must be 0 to 2\*\*64 - 1, but is 18446744073709551616\.'),
        ([6, 6], dict(groups=[]), r"groups must be like \[\['class a', 'class b'\], \.\.\.\], but is \[\]\."),
        ([6, 6], dict(groups=['class 0', 'class 1']), r"must be like .* but is \['class 0', 'class 1'\]\."),
        (
            [6, 6],
            dict(num_ways=2, groups=[[0, 1], ['class 1', 'class 9', 2]]),
            r"groups\[1\] has classes .* no videos: \['class 9', 2\]\. There are \{0: 'class 0', 1: 'class 1'\}\.",
        ),
        (
            [6, 6],
            dict(num_ways=2, groups=[[0, 1], [1, 0, 'class 1']]),
            r"groups\[1\] has a class twice: \[1, 0, 'class 1'\]",
        ),
        (
            [6, 6, 6],
            dict(num_ways=3, groups=[[0, 1, 2], ['class 1', 'class 0']]),
            r"at least 3 classes, but groups\[1\] = \['class 1', 'class 0'\] has 2\. Lower num_ways to 2",
        ),
        ([6, 1, 1], dict(num_ways=2, groups=[[0, 1]]), r"need 2 videos .*but 1 of 2 .*'class 1' has 1\."),
    ],
)
def test_bad_input(counts, kwargs, message):
    with pytest.raises(ValueError, match=message):
        EpisodicSampler(Listing(counts), **kwargs)


def test_classes_of_no_group_may_be_short_of_videos():
    sampler = EpisodicSampler(Listing([6, 1, 6]), num_ways=2, groups=[['class 2', 'class 0']])
    assert {item.index for episode in sampler for item in episode.items} == {*range(6), *range(7, 13)}


@pytest.mark.parametrize('number', [-1, 50])
def test_there_is_no_such_episode(number):
    with pytest.raises(IndexError, match=rf'episodes are 0 to 49; there is no episode {number}\.'):
        EpisodicSampler(Listing(UNEQUAL)).episode(number)
