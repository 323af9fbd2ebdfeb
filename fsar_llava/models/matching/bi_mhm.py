"""Bidirectional mean Hausdorff metric."""

from __future__ import annotations

from collections.abc import Mapping

from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers.frame_distance import describe_frames, frame_distance

from .base_matching import BaseMatching


@MODELS.register_module()
class BiMHM(BaseMatching):
    """Each frame goes to the nearest frame of the other video, in both directions (HyRSM) [C].

    ``sum_i min_j d(i, j) + sum_j min_i d(i, j)`` over valid frames i of the query and j of the support, with
    ``d = 1 - cos``. It compares sets: the order of the frames does not matter.

    Args:
        reduction: ``'sum'`` over frames, as in public code [C], or ``'mean'``, which does not depend on their number.
        eps: Added to the product of the norms; 0 is the exact cosine.
    """

    def __init__(self, reduction: str = 'sum', *, eps: float = 0.0) -> None:
        super().__init__()
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"BiMHM: reduction must be 'sum' or 'mean', but is {reduction!r}.")
        if eps < 0:
            raise ValueError(f'BiMHM: eps must not be negative, but is {eps}.')
        self.reduction = reduction
        self.eps = eps

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """``tokens [*, T, D]``, ``inverse_norm [*, T]`` and the mask, if any."""
        return describe_frames(tokens, mask)

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, K]``."""
        distance = frame_distance(query, support, eps=self.eps)
        rows, columns = query.get('mask'), support.get('mask')
        rows = None if rows is None else rows[:, :, None, None, :]  # [B, Q, 1, 1, A]
        columns = None if columns is None else columns[:, None]  # [B, 1, N, K, C]
        to_support = distance if columns is None else distance.masked_fill(~columns[..., None, :], float('inf'))
        to_query = distance if rows is None else distance.masked_fill(~rows[..., None], float('inf'))
        return self._reduce(to_support.amin(-1), rows) + self._reduce(to_query.amin(-2), columns)

    def _reduce(self, nearest: Tensor, mask: Tensor | None) -> Tensor:
        """Sum or mean of ``[B, Q, N, K, T]`` over its valid frames."""
        if mask is None:
            return nearest.sum(-1) if self.reduction == 'sum' else nearest.mean(-1)
        total = nearest.masked_fill(~mask, 0).sum(-1)
        return total if self.reduction == 'sum' else total / mask.sum(-1)
