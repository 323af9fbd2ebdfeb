"""The plain class mean."""

from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.model import BaseModule

from fsar_llava.models.layers import masked_mean
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class MeanPrototype(BaseModule):
    """The mean over the shots of a class, token by token; without parameters."""

    def forward(self, support: VideoFeatures, query: VideoFeatures | None = None) -> VideoFeatures:
        """Average the shots.

        Args:
            support: visual ``[B, N, K, T, D]``; textual ``[B, N, K, L, D]`` or None. A textual token is the mean over
                the shots in which it is valid.
            query: Not used; for the interface of prototypes.

        Returns:
            Features with leading dimensions ``B, N, 1``; a textual token is valid if it is in any shot.
        """
        visual = support.visual.mean(2, keepdim=True)
        if support.textual is None:
            return VideoFeatures(visual)
        textual = masked_mean(support.textual, support.textual_mask, dim=2)
        return VideoFeatures(visual, textual[:, :, None], support.textual_mask.any(2, keepdim=True))
