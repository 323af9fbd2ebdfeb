"""Ordered temporal alignment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers.frame_distance import describe_frames, frame_distance

from .base_matching import BaseMatching


@MODELS.register_module()
class OTAM(BaseMatching):
    """Smoothed cost of the cheapest alignment that keeps the frames of both videos in order [C].

    Every frame of the support is matched to a frame of the query; the alignment may start and end at any frame of the
    query. With ``bidirectional`` the same is done with both roles exchanged, and the two costs are added.

    Masked frames are dropped, wherever they stand: the distance is that of the videos without them.

    Args:
        smoothing: The lambda of the soft minimum ``-lambda log sum exp(-x / lambda)``: 0.1 in OTAM, 0.5 in CLIP-FSAR
            and CLIP-M2DF [C]. Towards 0 it becomes the plain minimum.
        eps: Added to the product of the norms; 0 is the exact cosine, 0.01 is public code [C].
        bidirectional: Add the alignment of the support to the query.
    """

    ordered = True

    def __init__(self, smoothing: float = 0.1, *, eps: float = 0.0, bidirectional: bool = True) -> None:
        super().__init__()
        if smoothing <= 0:
            raise ValueError(f'OTAM: smoothing must be positive, but is {smoothing}.')
        if eps < 0:
            raise ValueError(f'OTAM: eps must not be negative, but is {eps}.')
        self.smoothing = smoothing
        self.eps = eps
        self.bidirectional = bidirectional

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """``tokens [*, T, D]``, ``inverse_norm [*, T]`` and the mask, if any, with the valid frames in front."""
        if mask is not None:
            order = torch.argsort((~mask).int(), dim=-1, stable=True)
            tokens, mask = tokens.take_along_dim(order[..., None], dim=-2), mask.take_along_dim(order, dim=-1)
        return describe_frames(tokens, mask)

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, K]``."""
        distance = frame_distance(query, support, eps=self.eps)
        pairs = distance.shape[:4]
        # The many pairs of videos come last, so that every step of the recurrence is one operation on long vectors.
        distance = rearrange(distance, 'b q n k a c -> a c (b q n k)')
        rows, columns = query.get('mask'), support.get('mask')
        if rows is not None:
            rows = rearrange(rows[:, :, None, None].expand(*pairs, -1), 'b q n k a -> a (b q n k)')
        if columns is not None:
            columns = rearrange(columns[:, None].expand(*pairs, -1), 'b q n k c -> c (b q n k)')
        directions = [(distance, rows, columns)]
        if self.bidirectional:
            directions.append((distance.transpose(0, 1), columns, rows))
        if len(distance) == distance.shape[1] and (rows is None) == (columns is None):
            directions = [tuple(None if parts[0] is None else torch.stack(parts, -2) for parts in zip(*directions))]
        costs = [alignment_cost(*direction, smoothing=self.smoothing) for direction in directions]
        total = sum(cost.reshape(-1, pairs.numel()).sum(0) for cost in costs)
        return total.view(pairs)


def alignment_cost(
    distance: Tensor, row_mask: Tensor | None = None, column_mask: Tensor | None = None, *, smoothing: float
) -> Tensor:
    """Cost of aligning A rows with C columns, one direction [C].

    A column of zeros is imagined before the first column and after the last one: an alignment may begin and end at any
    row. In the column before, a path may wait for free; in the one after, it may as well. All sums of exponentials are
    taken in log space: ``exp(-cost / smoothing)`` leaves the range of floats after a dozen frames.

    Args:
        distance: ``[A, C, *]``.
        row_mask: ``[A, *]``, True for valid rows, which come first. None: all are.
        column_mask: ``[C, *]``, the same for columns.
        smoothing: The lambda of the soft minimum.

    Returns:
        ``[*]``.
    """
    scores = distance / -smoothing  # a path's score is its cost in these units; soft minimum = log sum exp
    two_waiting = torch.full((), math.log(2), dtype=scores.dtype, device=scores.device)
    first = [scores[0, 0]]
    for score in scores[1:, 0]:  # first column: arrive from two zeros of the column before, or from above
        first.append(score + torch.logaddexp(first[-1], two_waiting))
    path = torch.stack(first)
    for column in range(1, scores.shape[1]):  # next columns: arrive from the left, or from above on the left
        arrived = torch.cat((path[:1], torch.logaddexp(path[:-1], path[1:]))) + scores[:, column]
        path = arrived if column_mask is None else torch.where(column_mask[column], arrived, path)
    # The column after the last: every row but the last is reached from two cells of it, and waiting costs nothing.
    return -smoothing * torch.logsumexp(path + _exits(path, row_mask), dim=0)


def _exits(path: Tensor, row_mask: Tensor | None) -> Tensor:
    """Log of the number of ways out of each row: two, but one from the last valid row and none from masked ones."""
    log_two = math.log(2)
    if row_mask is None:
        exits = path.new_full((len(path), *(1,) * (path.ndim - 1)), log_two)
        exits[-1] = 0
        return exits
    following = torch.cat((row_mask[1:], torch.zeros_like(row_mask[:1])))
    return torch.zeros_like(path).masked_fill(following, log_two).masked_fill(~row_mask, float('-inf'))
