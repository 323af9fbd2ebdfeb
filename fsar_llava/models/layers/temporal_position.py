"""Where in a video a frame stands."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class TemporalPosition(nn.Module):
    """A learned embedding of time.

    Frames are sampled one from each of T equal segments of a video, so the i-th entry stands for the relative time
    ``(i + 0.5) / num_frames``. Another number of frames gets linearly interpolated entries at the middles of its own
    segments.

    Args:
        num_frames: Number of learned entries: T in training.
        channels: D.
    """

    def __init__(self, num_frames: int, channels: int) -> None:
        super().__init__()
        if num_frames < 1:
            raise ValueError(f'num_frames must be at least 1, but is {num_frames}; set it to the number of frames T.')
        self.embedding = nn.Parameter(torch.empty(num_frames, channels))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    def forward(self, num_frames: int) -> Tensor:
        """``[T, D]`` for T = ``num_frames`` frames."""
        if num_frames == len(self.embedding):
            return self.embedding
        entries = rearrange(self.embedding, 't d -> 1 d t')
        resized = F.interpolate(entries, size=num_frames, mode='linear', align_corners=False)
        return rearrange(resized, '1 d t -> t d')
