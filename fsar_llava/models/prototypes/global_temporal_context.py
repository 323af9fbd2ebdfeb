"""CLIP-M2DF's global temporal context."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@MODELS.register_module()
class GlobalTemporalContext(BaseModule):
    """Adds a summary of the whole video to each of its frames: the last step of a causal convolutional network [C].

    Args:
        channels: D.
        kernel_size: Frames that a convolution sees.
        dilations: Dilation of each residual block.
        dropout: Behind each convolution.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 2, 4),
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.blocks = nn.Sequential(*(_CausalBlock(channels, kernel_size, step, dropout) for step in dilations))

    def forward(self, frames: Tensor) -> Tensor:
        """``[M, T, D]`` to ``[M, T, D]``."""
        summary = self.blocks(rearrange(frames, 'm t d -> m d t'))[..., -1]
        return frames + rearrange(summary, 'm d -> m 1 d')


class _CausalBlock(nn.Module):
    """``relu(x + dropout(relu(conv(dropout(relu(conv x))))))``; a step sees itself and earlier ones."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.past = (kernel_size - 1) * dilation
        self.first = weight_norm(nn.Conv1d(channels, channels, kernel_size, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(channels, channels, kernel_size, dilation=dilation))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[M, D, T]`` to ``[M, D, T]``."""
        hidden = self.dropout(F.relu(self.first(F.pad(x, (self.past, 0)))))
        return F.relu(x + self.dropout(F.relu(self.second(F.pad(hidden, (self.past, 0))))))
