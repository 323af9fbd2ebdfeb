"""CLIP-FSAR's modulation of supports by their class text."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import FusionLayer, fill_padding
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class TextModulation(BaseModule):
    """Frames attend to each other and, in supports, to the text of the class; the frame tokens are kept.

    Supports and queries go through the same layer, queries without text [C]. For the ``modulation`` slot of
    :class:`PrototypeHead`. Any number of text tokens can be read, such as those of a multimodal LLM.

    Args:
        channels: D.
        num_heads: Heads of the attention.
        ffn_channels: Width of the FFN.
        qkv_bias: Whether the projections to queries, keys and values have biases [R]; public code has none.
        attention_dropout: Dropout of the attention weights [R].
        output_dropout: Dropout of the attention's output, where public code has those 0.2.
        ffn_dropout: Dropout inside the FFN.
        zero_init: Whether the outputs of attention and FFN start at zero [R].
        query_text: Whether queries attend to their text as well. Only for prompts that do not depend on the class.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        num_heads: int = 8,
        ffn_channels: int = 2048,
        qkv_bias: bool = True,
        attention_dropout: float = 0.2,
        output_dropout: float = 0.0,
        ffn_dropout: float = 0.05,
        zero_init: bool = True,
        query_text: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.layer = FusionLayer(
            channels,
            num_heads=num_heads,
            ffn_channels=ffn_channels,
            qkv_bias=qkv_bias,
            attention_dropout=attention_dropout,
            output_dropout=output_dropout,
            ffn_dropout=ffn_dropout,
            zero_init=zero_init,
        )
        self.query_text = query_text

    def forward(self, support: VideoFeatures, query: VideoFeatures) -> tuple[VideoFeatures, VideoFeatures]:
        """Modulate both sides.

        Args:
            support: visual ``[B, N, K, T, D]``; textual ``[B, N, K, L, D]`` or None.
            query: visual ``[B, Q, T, D]``; textual ``[B, Q, L, D]`` or None.

        Returns:
            Both with modulated visual features of the same shapes.
        """
        return (
            support.replace(visual=self._modulate(support, text=True)),
            query.replace(visual=self._modulate(query, text=self.query_text)),
        )

    def _modulate(self, features: VideoFeatures, *, text: bool) -> Tensor:
        frames = features.visual
        if not text or features.textual is None:
            return self.layer(frames)
        words = fill_padding(features.textual, features.textual_mask)
        context = torch.cat([frames, words], dim=-2)
        present = torch.ones(frames.shape[:-1], dtype=torch.bool, device=frames.device)
        return self.layer(frames, context, mask=torch.cat([present, features.textual_mask], dim=-1))
