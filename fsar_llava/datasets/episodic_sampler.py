"""Draws the episodes of an :class:`EpisodicDataset`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from mmaction.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from fsar_llava.checks import check_integers
from fsar_llava.structures import Episode, EpisodeItem

from .episodic_dataset import EpisodicDataset

WORD = 2**32  # RandomState takes its seed in words of 32 bits


@DATA_SAMPLERS.register_module()
class EpisodicSampler(Sampler[Episode]):
    """Yields :class:`Episode` objects for the ``sampler`` slot of a dataloader.

    Episode ``i`` is a pure function of the list of videos, the groups and ``(seed, epoch, i)``. It depends neither on a
    global random state nor on the number of processes or workers, and a resumed training meets the episodes that an
    uninterrupted one would have met. Ranks take the ids ``rank, rank + world_size, ...``; where the number of episodes
    is not divisible they wrap around as mmengine's ``DefaultSampler`` does, and mmengine drops the surplus results.

    Args:
        dataset: The dataset of the same dataloader; the runner passes it.
        num_ways: N, the classes of an episode.
        num_shots: K, the support videos of each class.
        num_queries: Query videos **of each class**, so that Q = ``num_ways * num_queries``.
        seed: Of all episodes. The runner passes its own seed where the config gives none; write it into the configs of
            validation and test, where results are to be comparable. None stands for 0.
        shuffle: Whether every epoch has episodes of its own, as in training. False: always those of epoch 0.
        groups: Classes that are to meet each other, by name or label, such as pairs of actions and their reversals with
            ``num_ways=2``: each episode draws one of the groups, all being equally likely, and its ways from that group
            alone. A class may be in several groups; one that is in none never occurs. None: all classes are one group.

    Raises:
        ValueError: If a number is no integer or out of range, a group cannot be used, or there are too few classes or
            too few videos in a class.
    """

    def __init__(
        self,
        dataset: EpisodicDataset,
        num_ways: int = 5,
        num_shots: int = 1,
        num_queries: int = 1,
        seed: int | None = 0,
        shuffle: bool = True,
        groups: Sequence[Sequence[str | int]] | None = None,
    ) -> None:
        check_integers(self, num_ways=num_ways, num_shots=num_shots, num_queries=num_queries)
        check_integers(self, 0, optional=True, seed=seed)
        self.seed = 0 if seed is None else int(seed)
        if self.seed >= WORD**2:
            raise ValueError(f'EpisodicSampler: seed must be 0 to 2**64 - 1, but is {seed}.')
        self.dataset = dataset
        self.num_ways, self.num_shots, self.num_queries = num_ways, num_shots, num_queries
        self.shuffle = shuffle
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()
        self.groups = groups
        labels = [sorted(dataset.class_to_indices)] if groups is None else _labels(groups, dataset)
        self._check_classes(labels)
        self._check_videos({label for group in labels for label in group})
        # numpy promises never to change what RandomState draws from a seed; its newer generators may change. One object
        # that is seeded anew for every episode spares the time of making 10,000 of them.
        self._rng = np.random.RandomState(0)
        self._videos = [[list(dataset.class_to_indices[label]) for label in group] for group in labels]

    def episode(self, episode_id: int) -> Episode:
        """One episode of the current epoch, without loading a video.

        Args:
            episode_id: 0 to ``num_episodes - 1``.

        Raises:
            IndexError: If there is no such episode.
        """
        if not 0 <= episode_id < len(self.dataset):
            raise IndexError(f'The episodes are 0 to {len(self.dataset) - 1}; there is no episode {episode_id}.')
        epoch = self.epoch if self.shuffle else 0
        per_class = self.num_shots + self.num_queries
        self._rng.seed([self.seed % WORD, self.seed // WORD, epoch, episode_id])
        grouped = self.groups is not None  # only then is there something to draw beforehand
        draws = iter(self._rng.random_sample(grouped + self.num_ways * (1 + per_class)).tolist())
        group = self._videos[int(next(draws) * len(self._videos)) if grouped else 0]
        classes = [group[c] for c in _choose(len(group), self.num_ways, draws)]
        chosen = [[videos[v] for v in _choose(len(videos), per_class, draws)] for videos in classes]
        support = [
            EpisodeItem(v, 'support', way) for way, videos in enumerate(chosen) for v in videos[: self.num_shots]
        ]
        query = [EpisodeItem(v, 'query', way) for way, videos in enumerate(chosen) for v in videos[self.num_shots :]]
        return Episode(episode_id, tuple(support + query))

    def set_epoch(self, epoch: int) -> None:
        """Move on to the episodes of another epoch; mmengine's ``DistSamplerSeedHook`` calls it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Episode]:
        for step in range(len(self)):
            yield self.episode((step * self.world_size + self.rank) % len(self.dataset))

    def __len__(self) -> int:
        """Episodes of this rank."""
        return math.ceil(len(self.dataset) / self.world_size)

    def _check_classes(self, labels: Sequence[Sequence[int]]) -> None:
        number, fewest = min(enumerate(labels), key=lambda group: len(group[1]))
        if len(fewest) >= self.num_ways:
            return
        if self.groups is None:
            found, remedy = 'the dataset has', 'use an annotation file with more classes'
        else:
            found, remedy = f'groups[{number}] = {list(self.groups[number])} has', 'make the groups larger'
        raise ValueError(
            f'{self.num_ways}-way episodes need at least {self.num_ways} classes, but {found} {len(fewest)}. Lower '
            f'num_ways to {len(fewest)} or less, or {remedy}.'
        )

    def _check_videos(self, labels: set[int]) -> None:
        counts = {label: len(self.dataset.class_to_indices[label]) for label in labels}
        needed = self.num_shots + self.num_queries
        short = {self.dataset.class_names[label]: count for label, count in sorted(counts.items()) if count < needed}
        if short:
            raise ValueError(
                f'Episodes of {self.num_shots} shots and {self.num_queries} queries a class need {needed} videos of '
                f'every class, but {len(short)} of {len(counts)} classes have fewer: '
                + ', '.join(f'{name!r} has {count}' for name, count in short.items())
                + '. Add videos of these classes, remove the classes from the annotation file, or lower num_shots or '
                'num_queries.'
            )


def _labels(groups: Sequence[Sequence[str | int]], dataset: EpisodicDataset) -> list[list[int]]:
    """The labels of the classes of each group.

    Raises:
        ValueError: If there is no group, a group is no list, or a class is unknown or twice in a group.
    """
    if isinstance(groups, str) or not groups or any(isinstance(group, (str, int)) for group in groups):
        raise ValueError(f"EpisodicSampler: groups must be like [['class a', 'class b'], ...], but is {groups!r}.")
    names = {label: dataset.class_names[label] for label in sorted(dataset.class_to_indices)}
    known = {key: label for label, name in names.items() for key in (label, name)}
    for number, group in enumerate(groups):
        unknown = [name for name in group if name not in known]
        if unknown:
            raise ValueError(
                f'EpisodicSampler: groups[{number}] has classes of which there are no videos: {unknown}. There are '
                f'{names}.'
            )
    labels = [[known[name] for name in group] for group in groups]
    for number, group in enumerate(labels):
        if len(set(group)) < len(group):
            raise ValueError(f'EpisodicSampler: groups[{number}] has a class twice: {list(groups[number])}.')
    return labels


def _choose(total: int, count: int, draws: Iterator[float]) -> list[int]:
    """``count`` different numbers below ``total``: the first steps of a Fisher-Yates shuffle.

    Unlike ``permutation`` of numpy this takes no longer for classes of a thousand videos.
    """
    moved: dict[int, int] = {}
    chosen = []
    for i in range(count):
        j = i + int(next(draws) * (total - i))
        chosen.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return chosen
