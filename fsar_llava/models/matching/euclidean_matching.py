"""Euclidean distance between mean frames, as in ProtoNet."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers import masked_mean

from .base_matching import BaseMatching


@MODELS.register_module()
class EuclideanMatching(BaseMatching):
    """Euclidean distance between the mean of the query's valid frames and the mean of the support's.

    With ``MeanPrototype`` in the head's ``prototype`` slot this is ProtoNet. A temperature belongs to the head.

    Args:
        squared: The squared distance, as in ProtoNet.
    """

    def __init__(self, *, squared: bool = True) -> None:
        super().__init__()
        self.squared = squared

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """``mean [*, D]``."""
        return dict(mean=masked_mean(tokens, mask, dim=-2))

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, K]``."""
        prototypes = support['mean']
        # Differences, not |q|^2 + |s|^2 - 2 q.s: that loses all digits for videos that are close to each other.
        distance = torch.cdist(
            query['mean'],
            rearrange(prototypes, 'b n k d -> b (n k) d'),
            compute_mode='donot_use_mm_for_euclid_dist',
        )
        distance = rearrange(distance, 'b q (n k) -> b q n k', k=prototypes.shape[2])
        return distance.square() if self.squared else distance
