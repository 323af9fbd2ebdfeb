"""What metrics of ordered tuples of frames share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

PAIRS = {'cpu': 1 << 21, 'cuda': 1 << 27}
"""Pairs of tuples that are compared at a time, by whole episodes: on a CPU what its caches hold."""


def frame_tuples(num_frames: int, size: int, device: torch.device) -> Tensor:
    """Indices ``[M, size]`` of all tuples of different frames, in order."""
    return torch.combinations(torch.arange(num_frames, device=device), size)


def compare_portions(
    compare: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor],
    query: Mapping[str, Tensor],
    support: Mapping[str, Tensor],
    pairs: int,
) -> Tensor:
    """``compare`` of both sides of all episodes, which it is given some at a time.

    Args:
        compare: Gives ``[B, *]``.
        query: Tensors ``[B, Q, *]``.
        support: Tensors ``[B, N, K, *]``.
        pairs: Of tuples, for one query and one support.
    """
    asking, answering = next(iter(query.values())), next(iter(support.values()))
    pairs *= asking.shape[1] * math.prod(answering.shape[1:3])
    step = max(1, PAIRS.get(asking.device.type, PAIRS['cpu']) // max(1, pairs))
    parts = []
    for begin in range(0, max(1, len(asking)), step):
        sides = ({name: tensor[begin : begin + step] for name, tensor in side.items()} for side in (query, support))
        parts.append(compare(*sides))
    return torch.cat(parts)
