"""CLIP-M2DF's local temporal context."""

from __future__ import annotations

from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class LocalTemporalContext(BaseModule):
    """Two convolutions over time, nothing between them [C].

    Args:
        channels: D.
        kernel_size: Frames that a convolution sees, odd.
        identity_init: Whether both convolutions start by passing every frame on as it is [R].
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self, channels: int = 512, *, kernel_size: int = 3, identity_init: bool = True, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f'LocalTemporalContext: kernel_size must be odd to keep the frames, but is {kernel_size}.')
        self.convolutions = nn.Sequential(
            *(nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2) for _ in range(2))
        )
        if identity_init:
            for convolution in self.convolutions:
                nn.init.dirac_(convolution.weight)
                nn.init.zeros_(convolution.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """``[M, T, D]`` to ``[M, T, D]``."""
        return rearrange(self.convolutions(rearrange(frames, 'm t d -> m d t')), 'm d t -> m t d')
