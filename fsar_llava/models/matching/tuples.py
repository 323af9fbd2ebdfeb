"""What metrics of ordered tuples of frames share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fsar_llava.structures import PreparedVideos

PAIRS = {'cpu': 1 << 21, 'cuda': 1 << 27}
"""Pairs of tuples that are compared at a time, by whole episodes: on a CPU what its caches hold."""


def frame_tuples(num_frames: int, size: int, device: torch.device) -> Tensor:
    """Indices ``[M, size]`` of all tuples of different frames, in order."""
    return torch.combinations(torch.arange(num_frames, device=device), size)


def compare_portions(
    compare: Callable[[PreparedVideos, PreparedVideos], Tensor],
    query: PreparedVideos,
    support: PreparedVideos,
    pairs: int,
) -> Tensor:
    """``compare`` of both sides of all episodes, which it is given some at a time.

    Args:
        compare: Gives ``[B, *]``.
        query: Of B episodes.
        support: The same.
        pairs: Of tuples, for one query and one support.
    """
    pairs *= query.shape[1] * math.prod(support.shape[1:])
    step = max(1, PAIRS.get(query.device.type, PAIRS['cpu']) // max(1, pairs))
    starts = range(0, max(1, query.shape[0]), step)
    return torch.cat([compare(*(side.part(begin, begin + step) for side in (query, support))) for begin in starts])
