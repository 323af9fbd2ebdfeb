"""Draws the episodes of an :class:`EpisodicDataset`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from mmaction.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from fsar_llava.structures import Episode, EpisodeItem

from .episodic_dataset import EpisodicDataset

WORD = 2**32  # RandomState takes its seed in words of 32 bits


@DATA_SAMPLERS.register_module()
class EpisodicSampler(Sampler[Episode]):
    """Yields :class:`Episode` objects for the ``sampler`` slot of a dataloader.

    Episode ``i`` is a pure function of the list of videos and ``(seed, epoch, i)``. It depends neither on a global
    random state nor on the number of processes or workers, and a resumed training meets the episodes that an
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

    Raises:
        ValueError: If a number is out of range or the dataset has too few classes or too few videos in a class.
    """

    def __init__(
        self,
        dataset: EpisodicDataset,
        num_ways: int = 5,
        num_shots: int = 1,
        num_queries: int = 1,
        seed: int | None = 0,
        shuffle: bool = True,
    ) -> None:
        for name, value in dict(num_ways=num_ways, num_shots=num_shots, num_queries=num_queries).items():
            if value < 1:
                raise ValueError(f'EpisodicSampler: {name} must be at least 1, but is {value}.')
        self.seed = 0 if seed is None else int(seed)
        if not 0 <= self.seed < WORD**2:
            raise ValueError(f'EpisodicSampler: seed must be 0 to 2**64 - 1, but is {seed}.')
        self.dataset = dataset
        self.num_ways, self.num_shots, self.num_queries = num_ways, num_shots, num_queries
        self.shuffle = shuffle
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()
        self._check_videos()
        # numpy promises never to change what RandomState draws from a seed; its newer generators may change. One object
        # that is seeded anew for every episode spares the time of making 10,000 of them.
        self._rng = np.random.RandomState(0)
        self._videos = [list(indices) for _, indices in sorted(dataset.class_to_indices.items())]

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
        draws = iter(self._rng.random_sample(self.num_ways * (1 + per_class)).tolist())
        classes = [self._videos[c] for c in _choose(len(self._videos), self.num_ways, draws)]
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

    def _check_videos(self) -> None:
        counts = {label: len(indices) for label, indices in self.dataset.class_to_indices.items()}
        if len(counts) < self.num_ways:
            raise ValueError(
                f'{self.num_ways}-way episodes need at least {self.num_ways} classes, but the dataset has '
                f'{len(counts)}. Lower num_ways to {len(counts)} or less, or use an annotation file with more classes.'
            )
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
