"""The cosine distance between all frames of queries and all frames of supports."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

# Shorter vectors count as zero: they have no direction, and their distance to everything is 1.
SHORTEST = 1e-12


def describe_frames(tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """What :func:`frame_distance` needs of a video, whatever it is compared with.

    Args:
        tokens: ``[*, T, D]``.
        mask: ``[*, T]``, True for a valid frame. None: all are.

    Returns:
        ``tokens [*, T, D]``, ``inverse_norm [*, T]`` (0 for a zero vector) and, where a mask is given, ``mask [*, T]``.
    """
    norm = torch.linalg.vector_norm(tokens, dim=-1)
    zero = norm <= SHORTEST
    # Both fills are needed: the inner one keeps the division finite, the outer one stops its gradient.
    inverse_norm = norm.masked_fill(zero, 1.0).reciprocal().masked_fill(zero, 0.0)
    described = dict(tokens=tokens, inverse_norm=inverse_norm)
    return described if mask is None else dict(described, mask=mask)


def frame_distance(query: Mapping[str, Tensor], support: Mapping[str, Tensor], *, eps: float = 0.0) -> Tensor:
    """``1 - cos`` between every frame of every query and every frame of every support of its episode.

    Masks are not applied here. One batched matrix product per call; scaling its result costs less than normalising
    what goes into it.

    Args:
        query: :func:`describe_frames` of ``[B, Q, A, D]``.
        support: :func:`describe_frames` of ``[B, N, K, C, D]``.
        eps: Added to the product of the norms; 0 is the exact cosine. The public code of OTAM, TRX and CLIP-FSAR has
            0.01 [C].

    Returns:
        ``[B, Q, N, K, A, C]``, between 0 and 2.
    """
    product = torch.bmm(
        rearrange(query['tokens'], 'b q a d -> b (q a) d'),
        rearrange(support['tokens'], 'b n k c d -> b d (n k c)'),
    )
    scale = torch.mul(
        rearrange(query['inverse_norm'], 'b q a -> b (q a) 1'),
        rearrange(support['inverse_norm'], 'b n k c -> b 1 (n k c)'),
    )
    if eps:
        scale = scale / (1 + eps * scale)  # = 1 / (|q||s| + eps)
    (_, num_queries, _), (_, num_ways, num_shots, _) = query['inverse_norm'].shape, support['inverse_norm'].shape
    distance = torch.addcmul(product.new_ones(()), product, scale, value=-1)
    return rearrange(distance, 'b (q a) (n k c) -> b q n k a c', q=num_queries, n=num_ways, k=num_shots)
