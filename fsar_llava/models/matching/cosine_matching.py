"""Cosine distance between mean frames."""

from __future__ import annotations

from collections.abc import Mapping

from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers.frame_distance import describe_frames, frame_distance

from .base_matching import BaseMatching
from .pooling import mean_frame


@MODELS.register_module()
class CosineMatching(BaseMatching):
    """``1 - cos`` between the mean of the query's valid frames and the mean of the support's.

    The baseline that knows no time. A temperature belongs to the head.

    Args:
        eps: Added to the product of the norms; 0 is the exact cosine.
    """

    def __init__(self, *, eps: float = 0.0) -> None:
        super().__init__()
        if eps < 0:
            raise ValueError(f'CosineMatching: eps must not be negative, but is {eps}.')
        self.eps = eps

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """The mean frame as the only frame: ``tokens [*, 1, D]``, ``inverse_norm [*, 1]``."""
        return describe_frames(mean_frame(tokens, mask)[..., None, :])

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, K]``."""
        return rearrange(frame_distance(query, support, eps=self.eps), 'b q n k 1 1 -> b q n k')
