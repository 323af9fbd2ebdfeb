"""Down-sampling and the multimodal feature-enhanced module (MFEM) of FSAR-LLaVA."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange, reduce
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import DownSampling, FeedForward, ResidualAttention, TemporalPosition, fill_padding
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class MultimodalFeatureEnhancement(BaseModule):
    """Enhances the visual and textual tokens of a video by each other.

    Order of the parts, and what attends to what [P]; equations, widths and initialisation [R]::

        T_v, T_t = down-sampling of the decoder's tokens, the same weights for both
        X1  = T_v + SpatialAttn(LN T_v)                 over P, frame by frame
        X2  = X1  + TemporalAttn(LN X1 + position)      over T, patch by patch
        X   = mean over P of X2                                                        [V, T, D]
        F_v = X   + CrossAttn(q = LN X,   kv = LN T_t);   F_v += FFN(LN F_v)           [V, T, D]
        F_t = T_t + CrossAttn(q = LN T_t, kv = LN X);     F_t += FFN(LN F_t)           [V, L, D]

    Every block starts as the identity, so that the module starts as :class:`LinearProjection`.

    Each attention can be switched off for ablations; a part that is off has no parameters. DDP refuses parameters that
    get no gradient: switch off ``visual_lead`` and ``textual`` without text, ``textual`` for the ``'visual'`` fusion of
    :class:`MultimodalMatching`, ``visual`` for its ``'textual'`` fusion. See also ``modalities`` of
    :class:`CompositeTaskOrientedPrototype`.

    Args:
        in_channels: Width of the backbone's tokens.
        channels: D.
        num_heads: h of every attention, a divisor of D.
        num_frames: T in training, the size of the temporal position embedding; it is interpolated for another T.
        ffn_ratio: Width of the hidden layer of both FFNs in multiples of D.
        spatial: Whether patches attend to those of their frame.
        temporal: Whether patches attend to those of their place in other frames.
        visual_lead: Whether frames attend to text.
        textual_lead: Whether text attends to frames.
        visual: Whether the visual half exists behind X, attention and FFN. Without it ``F_v = X``, for a matching that
            compares textual features alone.
        textual: Whether the textual half exists, attention and FFN. Without it ``F_t = T_t``, for a matching that
            compares visual features alone.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 512,
        *,
        num_heads: int = 8,
        num_frames: int = 8,
        ffn_ratio: int = 4,
        spatial: bool = True,
        temporal: bool = True,
        visual_lead: bool = True,
        textual_lead: bool = True,
        visual: bool = True,
        textual: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)

        def attention(enabled: bool, cross: bool) -> ResidualAttention | None:
            return ResidualAttention(channels, num_heads, cross=cross) if enabled else None

        self.down_sampling = DownSampling(in_channels, channels)
        self.spatial = attention(spatial, cross=False)
        self.temporal = attention(temporal, cross=False)
        self.position = TemporalPosition(num_frames, channels) if temporal else None
        self.visual_lead = attention(visual and visual_lead, cross=True)
        self.visual_ffn = FeedForward(channels, ffn_ratio) if visual else None
        self.textual_lead = attention(textual and textual_lead, cross=True)
        self.textual_ffn = FeedForward(channels, ffn_ratio) if textual else None

    def forward(
        self, feats: VideoFeatures, data_samples: Sequence[ActionDataSample] | None = None
    ) -> tuple[VideoFeatures, dict]:
        """Enhance the features of V videos, each by itself.

        Args:
            feats: visual ``[V, T, P, in_channels]``, or ``[V, T, in_channels]`` for P = 1; textual
                ``[V, L, in_channels]`` or None.
            data_samples: Not used; for MMAction2's interface.

        Returns:
            F_v ``[V, T, D]`` and F_t ``[V, L, D]`` (zero at padded positions) or None; and no losses.
        """
        tokens = self.down_sampling(feats)
        visual = self._enhance_frames(tokens.visual)
        enhanced = VideoFeatures(self._lead_visual(visual, tokens), tokens.textual, tokens.textual_mask)
        if tokens.textual is not None and self.textual_ffn is not None:
            enhanced = enhanced.replace(textual=self._lead_textual(visual, tokens))
        return enhanced, {}

    def _enhance_frames(self, tokens: Tensor) -> Tensor:
        """T_v ``[V, T, P, D]`` to X ``[V, T, D]``."""
        if self.spatial is not None:
            tokens = self.spatial(tokens)
        if self.temporal is not None:
            tracks = rearrange(tokens, 'v t p d -> v p t d')
            return self.temporal(tracks, position=self.position(tracks.shape[2]), mean_dim=1)
        return reduce(tokens, 'v t p d -> v t d', 'mean')

    def _lead_visual(self, visual: Tensor, tokens: VideoFeatures) -> Tensor:
        """X to F_v, ``[V, T, D]``."""
        if self.visual_lead is not None and tokens.textual is not None:
            visual = self.visual_lead(visual, tokens.textual, mask=tokens.textual_mask)
        return visual if self.visual_ffn is None else self.visual_ffn(visual)

    def _lead_textual(self, visual: Tensor, tokens: VideoFeatures) -> Tensor:
        """T_t to F_t, ``[V, L, D]``."""
        textual = tokens.textual
        if self.textual_lead is not None:
            textual = self.textual_lead(textual, visual)
        return fill_padding(self.textual_ffn(textual), tokens.textual_mask)
