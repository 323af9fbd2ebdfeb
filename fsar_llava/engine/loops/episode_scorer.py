"""Logits of many episodes from a bank of features."""

from __future__ import annotations

import torch
from mmengine import dist
from torch import Tensor

from fsar_llava.models.heads import PrototypeHead
from fsar_llava.models.layers import free_memory
from fsar_llava.structures import BankRows, VideoFeatures, gather

from .episode_plan import EpisodePlan

FEATURE_BYTES = {'cpu': 1 << 22, 'cuda': 1 << 27}
"""Features that are gathered at a time: on a CPU what its caches hold, beside what a head makes of them.

That is up to 17 times as much (CLIP-M2DF, 5-shot), which on a GPU must fit beside the model and its optimiser.
"""

PREPARED_BYTES = {'cpu': 1 << 26, 'cuda': 1 << 28}
"""The same of the largest tensor that a metric prepared: long steps are faster, and metrics gather less at a time."""


class EpisodeScorer:
    """Scores episodes in batches of bounded size.

    Where a matching metric compares supports as they are, whatever it needs of a video (norms, keys, values) is
    computed once a video and not once an episode.

    Args:
        head: Gives the metric, the prototypes and the temperature.
        bank: Features of U rows.
        batch_size: Episodes at a time; None for as many as a bounded amount of memory holds.
    """

    def __init__(self, head: PrototypeHead, bank: VideoFeatures, batch_size: int | None = None) -> None:
        self.head, self.bank, self.batch_size = head, bank, batch_size
        self._prepared = self._prepare() if self._can_prepare() else None

    def _can_prepare(self) -> bool:
        head = self.head
        return (
            type(head).episode_scores is PrototypeHead.episode_scores
            and head.prototype is None
            and head.modulation is None
            and not head.multimodal
            and hasattr(head.matching, 'prepare')
        )

    def _prepare(self) -> dict[str, Tensor] | None:
        """What the metric needs of each row; None where that would not fit."""
        visual = self.bank.visual
        prepare = self.head.matching.prepare
        size = sum(tensor.nbytes for tensor in prepare(visual[:1]).values())
        share = 2 * (dist.get_world_size() if visual.device.type == 'cpu' else 1)
        if not _everywhere(size * len(visual) <= free_memory(visual.device) // share):
            return None
        step = max(1, self._limit(PREPARED_BYTES) // size)
        parts = [prepare(part) for part in visual.split(step)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def logits(self, plan: EpisodePlan) -> Tensor:
        """``[E, Q, N]`` on the CPU, equal on all processes; each scores a part of the episodes."""
        rank, world_size = dist.get_dist_info()
        ways = plan.episodes.num_ways
        queries = plan.episodes.query_index.shape[1]
        device = self.bank.visual.device
        logits = torch.zeros(len(plan), queries, ways)
        step = self.batch_size or self._batch_size(plan)
        # All processes have the same batches, each its share of them.
        for begin in range(rank * step, len(plan), world_size * step):
            support, query = plan.indices(begin, begin + step, device)
            logits[begin : begin + step] = self._score(support, query).float().cpu()
        dist.all_reduce(logits)
        return logits

    def _score(self, support: Tensor, query: Tensor) -> Tensor:
        """``[B, Q, N]`` from rows ``[B, N, K]`` and ``[B, Q]``."""
        if self._prepared is None:
            sides = (self.bank.map(lambda tensor, rows=rows: gather(tensor, rows)) for rows in (support, query))
            return self.head.episode_scores(*sides).logits
        sides = (BankRows(self._prepared, rows) for rows in (query, support))
        return -self.head.matching.match(*sides) / self.head.temperature

    def _batch_size(self, plan: EpisodePlan) -> int:
        """Episodes whose features are gathered and scored at a time."""
        support, query = plan.indices(0, 1, torch.device('cpu'))
        if self._prepared is None:
            features = [tensor for tensor in (self.bank.visual, self.bank.textual) if tensor is not None]
            size = sum(tensor[0].nbytes for tensor in features) * (support.numel() + query.numel())
            limit = self._limit(FEATURE_BYTES)
        else:
            size = max(tensor[0].nbytes for tensor in self._prepared.values()) * max(support.numel(), query.numel())
            limit = self._limit(PREPARED_BYTES)
        return max(1, limit // size)

    def _limit(self, limits: dict[str, int]) -> int:
        """That of the bank's device."""
        return limits.get(self.bank.visual.device.type, limits['cpu'])


def _everywhere(condition: bool) -> bool:
    """Whether it holds for all processes, which must decide alike."""
    answer = torch.tensor(int(condition))
    dist.all_reduce(answer, 'min')
    return bool(answer)
