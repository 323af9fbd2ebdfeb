"""Bidirectional mean Hausdorff metric."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor

from .frame_matching import FrameMatching


@MODELS.register_module()
class BiMHM(FrameMatching):
    """Each frame goes to the nearest frame of the other video, in both directions (HyRSM) [C].

    ``sum_i min_j d(i, j) + sum_j min_i d(i, j)`` over valid frames i of the query and j of the support, with
    ``d = 1 - cos``. It compares sets: the order of the frames does not matter.

    Args:
        reduction: ``'sum'`` over frames, as in public code [C], or ``'mean'``, which does not depend on their number.
        eps: Added to the product of the norms; 0 is the exact cosine.
    """

    def __init__(self, reduction: str = 'sum', *, eps: float = 0.0) -> None:
        super().__init__(eps=eps)
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"BiMHM: reduction must be 'sum' or 'mean', but is {reduction!r}.")
        self.reduction = reduction

    def cost(self, similarity: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None) -> Tensor:
        """Distances ``[*]`` from cosines ``[A, C, *]``."""
        nothing = float('-inf')
        to_support = similarity if support_mask is None else similarity.masked_fill(~support_mask, nothing)
        to_query = similarity if query_mask is None else similarity.masked_fill(~query_mask[:, None], nothing)
        return self._reduce(1 - to_support.amax(1), query_mask) + self._reduce(1 - to_query.amax(0), support_mask)

    def _reduce(self, nearest: Tensor, mask: Tensor | None) -> Tensor:
        """Sum or mean of ``[T, *]`` over its valid frames."""
        if mask is None:
            return nearest.sum(0) if self.reduction == 'sum' else nearest.mean(0)
        total = nearest.masked_fill(~mask, 0).sum(0)
        return total if self.reduction == 'sum' else total / mask.sum(0)
