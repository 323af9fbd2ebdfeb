"""Random episodes for the tests of the matching metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def episode(
    *,
    batch: int = 2,
    queries: int = 3,
    ways: int = 4,
    shots: int = 1,
    frames: tuple[int, int] = (5, 5),
    width: int = 6,
    conditioned: bool = False,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Float64 ``query [B, Q, T, D]`` and ``support [B, N, K, T, D]`` or ``[B, Q, N, K, T, D]``."""
    generator = torch.Generator().manual_seed(seed)
    leading = (batch, queries) if conditioned else (batch,)
    query = torch.randn(batch, queries, frames[0], width, generator=generator, dtype=torch.float64)
    support = torch.randn(*leading, ways, shots, frames[1], width, generator=generator, dtype=torch.float64)
    return query, support


def random_mask(tokens: Tensor, *, seed: int = 0, least: int = 1, prefix: bool = False) -> Tensor:
    """A mask without D with at least ``least`` valid frames per video; ``prefix`` leaves padding at the end only."""
    generator = torch.Generator().manual_seed(seed)
    shape = tokens.shape[:-1]
    rank = torch.rand(shape, generator=generator).argsort(-1).argsort(-1)
    count = torch.randint(least, shape[-1] + 1, (*shape[:-1], 1), generator=generator)
    return (torch.arange(shape[-1]).expand(shape) if prefix else rank) < count
