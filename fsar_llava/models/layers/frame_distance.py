"""The cosine distance between all frames of queries and all frames of supports."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fsar_llava.structures import BankRows

# Shorter vectors count as zero: they have no direction, and their distance to everything is 1.
SHORTEST = 1e-12

CACHE_STRIDE, CACHE_SHIFT = 1024, 32
"""Frames a multiple of so many bytes apart compete for the same lines of a CPU's cache; so many more part them."""

GATHERED_BYTES = 1 << 22
"""Frames that are gathered from a bank at a time, so that a CPU's cache holds them until they are multiplied."""


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
    on_demand = isinstance(query, BankRows) and isinstance(support, BankRows)
    if not on_demand or query.device.type != 'cpu' or torch.is_grad_enabled():
        return _multiply(query['direction'], support['direction'])
    asking, answering = (side.bank['direction'] for side in (query, support))
    size = max(bank[0].nbytes * math.prod(side.shape[1:]) for bank, side in ((asking, query), (answering, support)))
    step = max(1, GATHERED_BYTES // size)
    products = asking.new_empty(*query.shape, asking.shape[1], *support.shape[1:], answering.shape[1])
    for begin in range(0, len(products), step):
        sides = (side.part(begin, begin + step)['direction'] for side in (query, support))
        _multiply(*sides, out=products[begin : begin + step])
    return products


def _multiply(query: Tensor, support: Tensor, out: Tensor | None = None) -> Tensor:
    """``[B, Q, A, N, K, C]`` from ``[B, Q, A, D]`` and ``[B, N, K, C, D]``, in one batched matrix product."""
    # Plain reshapes: einops would take a tenth of the time of the few episodes that a CPU multiplies at once.
    flat = None if out is None else out.flatten(3).flatten(1, 2)
    products = torch.bmm(query.flatten(1, 2), support.flatten(1, 3).mT, out=flat)
    return products.view(*query.shape[:3], *support.shape[1:4])


def frame_distance(query: Mapping[str, Tensor], support: Mapping[str, Tensor], *, eps: float = 0.0) -> Tensor:
    """``1 - cos``, ``[B, Q, N, K, A, C]`` between 0 and 2; arguments as of :func:`frame_similarity`."""
    return 1 - frame_similarity(query, support, eps=eps)
