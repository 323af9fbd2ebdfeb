"""Pre-norm feed-forward block that starts as the identity."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """``x + Linear(GELU(Linear(LN x)))``; the second linear layer starts at zero.

    Args:
        channels: D.
        ratio: Width of the hidden layer in multiples of D.
    """

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, ratio * channels)
        self.output = nn.Linear(ratio * channels, channels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[*, D]`` to ``[*, D]``."""
        return x + self.output(F.gelu(self.expand(self.norm(x))))
