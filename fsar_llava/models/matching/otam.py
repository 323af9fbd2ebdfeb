"""Ordered temporal alignment."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from torch import Tensor

from .alignment import alignment_cost, sums_fit, weighted_alignment_cost
from .frame_matching import FrameMatching


@MODELS.register_module()
class OTAM(FrameMatching):
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
        super().__init__(eps=eps)
        if smoothing <= 0:
            raise ValueError(f'OTAM: smoothing must be positive, but is {smoothing}.')
        self.smoothing = smoothing
        self.bidirectional = bidirectional

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """As for all metrics of frames, with the valid ones in front."""
        if mask is not None:
            order = torch.argsort((~mask).int(), dim=-1, stable=True)
            tokens, mask = tokens.take_along_dim(order[..., None], dim=-2), mask.take_along_dim(order, dim=-1)
        return super().describe(tokens, mask)

    def cost(self, similarity: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None) -> Tensor:
        """Distances ``[*]`` from cosines ``[A, C, *]``; valid frames come first."""
        directions = [(similarity, query_mask, support_mask)]
        if self.bidirectional:
            directions.append((similarity.transpose(0, 1), support_mask, query_mask))
        masked = query_mask is not None or support_mask is not None
        differentiable = similarity.requires_grad and torch.is_grad_enabled()
        fits = all(
            sums_fit(*cosines.shape[:2], similarity.dtype, smoothing=self.smoothing) for cosines, *_ in directions
        )
        if masked or differentiable or not fits:
            return sum(alignment_cost(1 - cosines, *masks, smoothing=self.smoothing) for cosines, *masks in directions)
        weight = (similarity / self.smoothing).exp_()
        weights = (weight, weight.transpose(0, 1))[: len(directions)]
        return sum(weighted_alignment_cost(weight, smoothing=self.smoothing) for weight in weights)
