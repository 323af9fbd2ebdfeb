"""Cosine distance between mean frames."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers import masked_mean

from .frame_matching import FrameMatching


@MODELS.register_module()
class CosineMatching(FrameMatching):
    """``1 - cos`` between the mean of the query's valid frames and the mean of the support's.

    The baseline that knows no time. A temperature belongs to the head.

    Args:
        eps: Added to the product of the norms; 0 is the exact cosine.
    """

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """The mean frame as the only frame: ``direction [*, 1, D]``."""
        return super().describe(masked_mean(tokens, mask, dim=-2)[..., None, :], None)

    def cost(self, similarity: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None) -> Tensor:
        """Distances ``[*]`` from cosines ``[1, 1, *]``."""
        return 1 - similarity[0, 0]
