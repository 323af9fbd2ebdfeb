"""MA-FSAR's text-guided prototype construction."""

from __future__ import annotations

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import FusionLayer, check_class_texts, masked_mean
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class TextGuidedPrototype(BaseModule):
    """Supports are enhanced by their class text, queries by themselves, with the same weights.

    The construction [P]::

        support:  q = F_S + F_T,  k = v = [F_T ; F_S]        query:  q = k = v = F_Q
        h = q + MHA(q, k, v);  out = h + FFN(h)

    For the ``modulation`` slot of :class:`PrototypeHead`. Several text tokens of a video are averaged.

    Args:
        channels: D.
        num_heads: Heads of the attention.
        ffn_channels: Width of the FFN.
        dropout: Dropout of attention weights and inside the FFN [R].
        zero_init: Whether the outputs of attention and FFN start at zero [R].
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        num_heads: int = 8,
        ffn_channels: int = 2048,
        dropout: float = 0.0,
        zero_init: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.layer = FusionLayer(
            channels,
            num_heads=num_heads,
            ffn_channels=ffn_channels,
            norm=False,
            attention_dropout=dropout,
            ffn_dropout=dropout,
            zero_init=zero_init,
        )

    def forward(self, support: VideoFeatures, query: VideoFeatures) -> tuple[VideoFeatures, VideoFeatures]:
        """Enhance both sides.

        Args:
            support: visual ``[B, N, K, T, D]``; textual ``[B, N, K, L, D]``, the text of its class.
            query: visual ``[B, Q, T, D]``; its text, if any, is not read.

        Returns:
            Both with enhanced visual features of the same shapes.

        Raises:
            ValueError: If a class of the supports has no text.
        """
        check_class_texts('TextGuidedPrototype', support)
        return support.replace(visual=self._enhance_support(support)), query.replace(visual=self.layer(query.visual))

    def _enhance_support(self, support: VideoFeatures) -> Tensor:
        text = rearrange(masked_mean(support.textual, support.textual_mask, dim=-2), 'b n k d -> b n k 1 d')
        context = torch.cat([text, support.visual], dim=-2)
        return self.layer(support.visual + text, context)
