"""What metrics share that see frames only through the cosines between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from einops import rearrange
from torch import Tensor

from fsar_llava.models.layers.frame_distance import describe_frames, frame_similarity

from .base_matching import BaseMatching


class FrameMatching(BaseMatching):
    """A distance between two videos, made of the cosines of their frames.

    :meth:`compare` is two steps: the cosines, one batched matrix product, and their :meth:`cost`.

    Args:
        eps: Added to the product of the norms; 0 is the exact cosine, 0.01 is public code [C].
    """

    def __init__(self, *, eps: float = 0.0) -> None:
        super().__init__()
        if eps < 0:
            raise ValueError(f'{type(self).__name__}: eps must not be negative, but is {eps}.')
        self.eps = eps

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """``direction [*, T, D]``, for an ``eps`` ``inverse_norm [*, T]``, and the mask, if any."""
        return describe_frames(tokens, mask, with_norm=self.eps > 0)

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, K]``."""
        rows, columns = query.get('mask'), support.get('mask')
        similarity = rearrange(frame_similarity(query, support, eps=self.eps), 'b q n k a c -> a c b q n k')
        return self.cost(
            similarity.contiguous(),  # every step over frames is then one operation on long vectors
            None if rows is None else rearrange(rows, 'b q a -> a b q 1 1'),
            None if columns is None else rearrange(columns, 'b n k c -> c b 1 n k'),
        )

    @abstractmethod
    def cost(self, similarity: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None) -> Tensor:
        """Distances ``[*]`` from cosines.

        Args:
            similarity: ``[A, C, *]``, A frames of a query and C frames of a support.
            query_mask: ``[A, *]`` or what broadcasts to it, True for a valid frame. None: all are.
            support_mask: ``[C, *]``, the same for supports.
        """
