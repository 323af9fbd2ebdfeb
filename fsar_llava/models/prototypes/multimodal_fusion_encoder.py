"""CLIP-M2DF's fusion of a video's prompt, its frames and one view of their temporal context."""

from __future__ import annotations

import torch
from einops import pack, unpack
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from fsar_llava.models.layers import FusionLayer, masked_mean
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class MultimodalFusionEncoder(BaseModule):
    """One view of a video: ``q = [prompt ; context(frames)]`` reads ``k = v = [prompt ; frames]`` [C].

    The prompt token of the result is the view's text part, the others are its visual part.

    Args:
        context: Config of the view's temporal context, a module from ``[M, T, D]`` to ``[M, T, D]``.
        channels: D.
        num_heads: Heads of the attention.
        ffn_channels: Width of the FFN.
        qkv_bias: Whether the projections to queries, keys and values have biases [R]; public code has none.
        attention_dropout: Dropout of the attention weights [R].
        output_dropout: Dropout of the attention's output, where public code has those 0.2.
        ffn_dropout: Dropout inside the FFN.
        zero_init: Whether the outputs of attention and FFN start at zero [R].
        compat_first_frame_text: Take the first frame for the text part, as the public code does, which has cut the
            prompt off before.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        context: dict,
        channels: int = 512,
        *,
        num_heads: int = 8,
        ffn_channels: int = 2048,
        qkv_bias: bool = True,
        attention_dropout: float = 0.2,
        output_dropout: float = 0.0,
        ffn_dropout: float = 0.05,
        zero_init: bool = True,
        compat_first_frame_text: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.context = MODELS.build(context)
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
        self.compat_first_frame_text = compat_first_frame_text

    def forward(self, features: VideoFeatures) -> VideoFeatures:
        """Fuse the tokens of each video.

        Args:
            features: visual ``[*, T, D]``; textual ``[*, L, D]``, the prompt, whose valid tokens are averaged.

        Returns:
            The view: visual ``[*, T, D]``, textual ``[*, 1, D]``.
        """
        frames, leading = pack([features.visual], '* t d')
        context = unpack(self.context(frames), leading, '* t d')[0]
        prompt = masked_mean(features.textual, features.textual_mask, dim=-2)[..., None, :]
        fused = self.layer(torch.cat([prompt, context], dim=-2), torch.cat([prompt, features.visual], dim=-2))
        text, visual = fused[..., :1, :], fused[..., 1:, :]
        if self.compat_first_frame_text:
            text = visual[..., :1, :]
        return VideoFeatures(visual, text, torch.ones(text.shape[:-1], dtype=torch.bool, device=text.device))
