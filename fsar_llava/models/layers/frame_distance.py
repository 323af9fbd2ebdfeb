"""The cosine distance between all frames of queries and all frames of supports."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fsar_llava.structures import BankRows

# Shorter vectors count as zero: they have no direction, and their distance to everything is 1.
SHORTEST = 1e-12

CACHE_STRIDE, CACHE_SHIFT = 1024, 32
"""Frames a multiple of so many bytes apart compete for the same lines of a CPU's cache; so many more part them."""

GATHERED_BYTES = 3 << 18
"""Frames that a core gathers from a bank at a time: its cache holds them until they are multiplied."""


def describe_frames(tokens: Tensor, mask: Tensor | None = None, *, with_norm: bool = True) -> dict[str, Tensor]:
    """What :func:`frame_similarity` needs of a video, whatever it is compared with.

    Args:
        tokens: ``[*, T, D]``.
        mask: ``[*, T]``, True for a valid frame. None: all are.
        with_norm: Give ``inverse_norm`` too, which only an ``eps`` needs.

    Returns:
        ``direction [*, T, D]``, frames of length 1, ``inverse_norm [*, T]`` (both 0 for a zero vector) and, where a
        mask is given, ``mask [*, T]``. On a CPU a few zeros may follow the D features: matrix products are faster.
    """
    norm = torch.linalg.vector_norm(tokens, dim=-1)
    zero = norm <= SHORTEST
    # Both fills are needed: the inner one keeps the division finite, the outer one stops its gradient.
    inverse_norm = norm.masked_fill(zero, 1.0).reciprocal().masked_fill(zero, 0.0)
    direction = tokens * inverse_norm[..., None]
    size = direction.element_size()
    if direction.device.type == 'cpu' and direction.shape[-1] * size % CACHE_STRIDE == 0:
        direction = F.pad(direction, (0, CACHE_SHIFT // size))
    described = dict(direction=direction)
    if with_norm:
        described['inverse_norm'] = inverse_norm
    if mask is not None:
        described['mask'] = mask
    return described


def frame_similarity(query: Mapping[str, Tensor], support: Mapping[str, Tensor], *, eps: float = 0.0) -> Tensor:
    """Cosine of every frame of every query with every frame of every support of its episode.

    Masks are not applied here.

    Args:
        query: :func:`describe_frames` of ``[B, Q, A, D]``.
        support: :func:`describe_frames` of ``[B, N, K, C, D]``.
        eps: Added to the product of the norms; 0 is the exact cosine. The public code of OTAM, TRX and CLIP-FSAR has
            0.01 [C].

    Returns:
        ``[B, Q, N, K, A, C]``, between -1 and 1; a view of ``[B, Q, A, N, K, C]``.
    """
    similarity = _products(query, support)
    if eps:  # |q||s| / (|q||s| + eps)
        inverse_norms = query['inverse_norm'][..., None, None, None] * support['inverse_norm'][:, None, None]
        similarity = similarity / (1 + eps * inverse_norms)
    return similarity.permute(0, 1, 3, 4, 2, 5)


def _products(query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
    """Inner products of directions, ``[B, Q, A, N, K, C]``."""
    if isinstance(query, BankRows) and isinstance(support, BankRows) and query.bank is support.bank:
        bank = query.bank['direction']
        if bank.device.type == 'cpu' and not torch.is_grad_enabled():
            return _bank_products(bank, query.rows, support.rows)
    asking, answering = query['direction'], support['direction']
    products = torch.bmm(asking.flatten(1, 2), answering.flatten(1, 3).mT)
    return products.view(*asking.shape[:3], *answering.shape[1:4])


def _bank_products(bank: Tensor, query: Tensor, support: Tensor) -> Tensor:
    """Inner products ``[B, Q, T, N, K, T]`` of rows ``[B, Q]`` and ``[B, N, K]`` of a bank ``[U, T, D]`` on a CPU.

    A few episodes at a time, always in the same place: what a core has just gathered is still in its cache when it is
    multiplied. Whatever else a step would do (take views, ask for memory) is done before, since it would cost as much.
    """
    rows = torch.cat((query, support.flatten(1)), dim=1)
    videos, (num_frames, width) = rows.shape[1], bank.shape[1:]
    asking = query.shape[1] * num_frames
    step = min(len(rows), torch.get_num_threads() * max(1, GATHERED_BYTES // (bank[0].nbytes * videos))) or 1
    gathered = bank.new_empty(step, videos * num_frames, width)
    products = bank.new_empty(len(rows), asking, videos * num_frames - asking)

    def places(episodes: int) -> tuple[Tensor, Tensor, Tensor]:
        frames = gathered[:episodes]
        return frames.view(episodes * videos, num_frames * width), frames[:, :asking], frames[:, asking:].mT

    views = {episodes: places(episodes) for episodes in {step, len(rows) % step}}
    bank = bank.flatten(1)
    for some, out in zip(rows.flatten().split(step * videos), products.split(step)):
        both, one, other = views[len(out)]
        torch.index_select(bank, 0, some, out=both)
        torch.bmm(one, other, out=out)
    return products.view(*query.shape, num_frames, *support.shape[1:], num_frames)


def frame_distance(query: Mapping[str, Tensor], support: Mapping[str, Tensor], *, eps: float = 0.0) -> Tensor:
    """``1 - cos``, ``[B, Q, N, K, A, C]`` between 0 and 2; arguments as of :func:`frame_similarity`."""
    return 1 - frame_similarity(query, support, eps=eps)
