"""From the flat list of a batch's videos back to its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmaction.structures import ActionDataSample
from torch import Tensor


@dataclass(frozen=True)
class EpisodeBatch:
    """Where the supports and queries of B episodes lie in a flat batch of V videos.

    All episodes of a batch have the same number of ways N, shots K and queries Q (all ways together).

    Attributes:
        support_index: ``[B, N, K]`` positions of the support videos in the flat batch.
        query_index: ``[B, Q]`` positions of the query videos in the flat batch.
        query_way: ``[B, Q]`` the way of each query, -1 where it has no label. For losses and metrics only: nothing on
            the prediction path may depend on it.
        episode_ids: B episode numbers.
        class_names: B tuples of N class names, by way.
        class_ids: B tuples of N class labels of the wrapped dataset, by way.
        digests: B fingerprints of the episodes' content (see :class:`EpisodicDataset`).
        query_names: B tuples of Q video names, as :class:`EpisodicDataset` stamps them, or None. For results only.
        unreadable: B tuples of names of videos that could not be loaded, and in whose place others are.
    """

    support_index: Tensor
    query_index: Tensor
    query_way: Tensor
    episode_ids: tuple[int, ...]
    class_names: tuple[tuple[str, ...], ...]
    class_ids: tuple[tuple[int, ...], ...]
    digests: tuple[str, ...]
    query_names: tuple[tuple[str, ...], ...]
    unreadable: tuple[tuple[str, ...], ...]

    @classmethod
    def from_samples(cls, data_samples: Sequence[ActionDataSample], device: torch.device | str = 'cpu') -> EpisodeBatch:
        """Read the stamps that :class:`EpisodicDataset` left on every sample.

        Args:
            data_samples: V samples; the videos of one episode stand together.
            device: Where the index tensors are put.

        Raises:
            ValueError: If the samples are not those of an :class:`EpisodicDataset`, if their videos were blended, if a
                query's way is not among the episode's ways, if the ways of an episode differ in shots or if episodes
                differ in shape.
        """
        supports, queries, ways, heads = [], [], [], []
        for begin, end in _runs(data_samples):
            shots, query = _split_episode(data_samples, begin, end)
            supports.append(shots)
            queries.append([position for position, _ in query])
            ways.append([way for _, way in query])
            heads.append(data_samples[begin].metainfo)
        if any(sample.gt_label.is_floating_point() for sample in data_samples if 'gt_label' in sample):
            raise ValueError(
                'The videos of the batch were blended (MixUp, CutMix), supports with queries and classes with each '
                'other, but an episode needs each video as it is. Set blending=None in the data_preprocessor.'
            )
        shapes = {(len(shots), len(shots[0]), len(query)) for shots, query in zip(supports, queries)}
        if len(shapes) > 1:
            raise ValueError(
                f'The episodes of one batch must have equal (ways, shots, queries), but got {sorted(shapes)}. '
                'Use batch_size=1 for episodes of varying shape.'
            )
        return cls(
            support_index=torch.tensor(supports, dtype=torch.long, device=device),
            query_index=torch.tensor(queries, dtype=torch.long, device=device),
            query_way=torch.tensor(ways, dtype=torch.long, device=device),
            episode_ids=tuple(meta['episode_id'] for meta in heads),
            class_names=tuple(tuple(meta['class_names']) for meta in heads),
            class_ids=tuple(tuple(meta['class_ids']) for meta in heads),
            digests=tuple(meta['episode_digest'] for meta in heads),
            query_names=tuple(
                tuple(data_samples[k].metainfo.get('video_name') for k in positions) for positions in queries
            ),
            unreadable=tuple(tuple(meta.get('unreadable', ())) for meta in heads),
        )

    @property
    def num_ways(self) -> int:
        """N, the number of classes of each episode."""
        return self.support_index.shape[1]

    def labels(self) -> Tensor:
        """``[B, Q]`` the ways of the queries, for losses.

        Raises:
            ValueError: If a query has no label.
        """
        if bool((self.query_way < 0).any()):
            raise ValueError('A loss needs the way of every query, but some queries of this batch have none (way -1).')
        return self.query_way


def _runs(data_samples: Sequence[ActionDataSample]) -> list[tuple[int, int]]:
    """``(begin, end)`` of each episode in the flat batch."""
    sizes = []
    begin = 0
    while begin < len(data_samples):
        meta = data_samples[begin].metainfo
        if 'episode_size' not in meta:
            raise ValueError(
                'A data sample carries no episode information. Few-shot heads need a dataloader with '
                "dataset=dict(type='EpisodicDataset', ...), sampler=dict(type='EpisodicSampler', ...) and "
                "collate_fn=dict(type='repeat_pseudo_collate')."
            )
        end = begin + meta['episode_size']
        if end > len(data_samples):
            raise ValueError(
                f'Episode {meta["episode_id"]} has {meta["episode_size"]} videos, but only '
                f'{len(data_samples) - begin} of them are in the batch.'
            )
        sizes.append((begin, end))
        begin = end
    return sizes


def _split_episode(
    data_samples: Sequence[ActionDataSample], begin: int, end: int
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Positions of the supports by way, and ``(position, way)`` of the queries, of one episode."""
    meta = data_samples[begin].metainfo
    num_ways = len(meta['class_names'])
    shots: list[list[int]] = [[] for _ in range(num_ways)]
    query: list[tuple[int, int]] = []
    for position in range(begin, end):
        item = data_samples[position].metainfo
        role, way = item['role'], item['way']
        lowest = 0 if role == 'support' else -1
        if not lowest <= way < num_ways:
            raise ValueError(
                f'Episode {meta["episode_id"]}: the {role} video of class {item["class_name"]!r} has way {way}, which '
                f'is not among the {num_ways} ways {list(meta["class_names"])}. Every query must belong to a support '
                'class (way -1 marks a query without a label).'
            )
        if role == 'support':
            shots[way].append(position)
        else:
            query.append((position, way))
    counts = {name: len(found) for name, found in zip(meta['class_names'], shots)}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(
            f'Episode {meta["episode_id"]}: every way needs the same number of support videos, at least one, '
            f'but got {counts}.'
        )
    return shots, query
