"""From the width of the multimodal decoder to the width of the few-shot model."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from fsar_llava.structures import VideoFeatures

from .masking import fill_padding


class DownSampling(nn.Module):
    """The down-sampling layer ``Z = Linear(LayerNorm(H))``.

    It is tuned and acts before the tokens are decoupled [P], hence the same weights for both modalities [R].

    Args:
        in_channels: Width of the decoder's tokens H.
        channels: D.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.norm = nn.LayerNorm(in_channels)
        self.linear = nn.Linear(in_channels, channels)

    def forward(self, feats: VideoFeatures) -> VideoFeatures:
        """Narrow the tokens of V videos.

        Args:
            feats: visual ``[V, T, P, in_channels]``, or ``[V, T, in_channels]`` for P = 1; textual
                ``[V, L, in_channels]`` or None.

        Returns:
            visual ``[V, T, P, D]``, textual ``[V, L, D]`` with zeros at padded positions, or None.

        Raises:
            TypeError: If ``feats`` are not :class:`VideoFeatures`.
            ValueError: If their shape or width is not the expected one.
        """
        self._check(feats)
        visual = feats.visual if feats.visual.ndim == 4 else rearrange(feats.visual, 'v t d -> v t 1 d')
        visual = self._narrow(visual)
        if feats.textual is None:
            return VideoFeatures(visual)
        mask = feats.textual_mask
        # Filled before as well: a NaN in padding would come back through the gradients of the shared weights.
        textual = self._narrow(fill_padding(feats.textual, mask))
        return VideoFeatures(visual, fill_padding(textual, mask), mask)

    def _narrow(self, tokens: Tensor) -> Tensor:
        """``Linear(LayerNorm(tokens))``, scale and shift of the norm taken into the weights.

        The frozen tokens need no gradient, but between norm and linear layer there would be one, as wide as they are.
        """
        weight = self.linear.weight * self.norm.weight
        bias = self.linear.bias + self.linear.weight @ self.norm.bias
        return F.linear(F.layer_norm(tokens, self.norm.normalized_shape, eps=self.norm.eps), weight, bias)

    def _check(self, feats: VideoFeatures) -> None:
        if not isinstance(feats, VideoFeatures):
            raise TypeError(
                f'This neck takes VideoFeatures, as VideoMLLMBackbone gives them, but got {type(feats).__name__}. '
                'Stock backbones need no neck under PrototypeHead.'
            )
        if feats.visual.ndim not in (3, 4):
            raise ValueError(f'Visual tokens must be [V, T, P, D] or [V, T, D], but are {list(feats.visual.shape)}.')
        widths = {
            name: x.shape[-1] for name, x in (('visual', feats.visual), ('textual', feats.textual)) if x is not None
        }
        if set(widths.values()) != {self.in_channels}:
            raise ValueError(
                f'The neck was built with in_channels={self.in_channels}, but the tokens are {widths} wide. '
                "Set in_channels to the width of the backbone's decoder."
            )
