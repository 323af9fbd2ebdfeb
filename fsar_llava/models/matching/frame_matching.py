"""What metrics share that see frames only through the cosines between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor

from fsar_llava.models.layers.frame_distance import describe_frames, frame_similarity

from .base_matching import BaseMatching


class FrameMatching(BaseMatching):
    """A distance between two videos, made of the cosines of their frames.

    :meth:`compare` is two steps: :meth:`similarity`, a matrix product that is fastest for the few episodes whose
    frames a processor's caches hold, and :meth:`cost`, which is fastest for very many pairs of videos.
    :meth:`match_portions` gives both what they like.

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
        return self.cost(
            self.similarity(query, support).contiguous(),
            None if rows is None else rearrange(rows, 'b q a -> a b q 1 1'),
            None if columns is None else rearrange(columns, 'b n k c -> c b 1 n k'),
        )

    def match_portions(self, portions: Iterable[Sequence[Mapping[str, Tensor]]]) -> Tensor:
        """:meth:`match` of many unmasked episodes, ``[B, Q, N]``, whose frames are not needed all at once.

        Args:
            portions: Pairs of query and support, as for :meth:`match`, of a few episodes each.
        """
        # Called by map, so that the frames of a portion are gone, and their memory hot, before the next are gathered.
        similarities = [*map(self._similarity, portions)]
        return self.cost(torch.cat(similarities, dim=2)).mean(-1)

    def similarity(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Cosines ``[A, C, B, Q, N, K]``, as a view.

        The many pairs of videos come last: in contiguous memory every step over frames is then one operation on long
        vectors.
        """
        return frame_similarity(query, support, eps=self.eps).permute(4, 5, 0, 1, 2, 3)

    def _similarity(self, portion: Sequence[Mapping[str, Tensor]]) -> Tensor:
        with torch.autocast(portion[0]['direction'].device.type, enabled=False):
            return self.similarity(*portion)

    @abstractmethod
    def cost(self, similarity: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None) -> Tensor:
        """Distances ``[*]`` from cosines.

        Args:
            similarity: ``[A, C, *]``, A frames of a query and C frames of a support.
            query_mask: ``[A, *]`` or what broadcasts to it, True for a valid frame. None: all are.
            support_mask: ``[C, *]``, the same for supports.
        """
