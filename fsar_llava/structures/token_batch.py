"""Stored tokens of a batch of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class TokenBatch:
    """What a token store has of V videos.

    Attributes:
        visual: ``[V, T, P, D]``.
        textual: ``[S, D]``, the tokens of all prompts of all videos.
        prompts: For each video rows ``(number, begin, end)``: one for the store, then one for each prompt, which tells
            where its tokens begin and end in ``textual``.
    """

    visual: Tensor
    textual: Tensor
    prompts: tuple[tuple[tuple[int, int, int], ...], ...]

    def __getitem__(self, videos: Sequence[int]) -> TokenBatch:
        """Select videos, any of them any number of times."""
        return replace(self, visual=self.visual[videos], prompts=tuple(self.prompts[video] for video in videos))
