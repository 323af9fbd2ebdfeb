"""What a video MLLM says about videos, each with any number of prompts."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class VideoTokens(NamedTuple):
    """Tokens of V videos and of R prompts, each of which was put to one of the videos.

    Attributes:
        visual: ``[V, T, P, D]``. Independent of the prompts.
        textual: ``[R, L, D]``, the prompts of the first video, then those of the second, ...; zero where masked.
        textual_mask: ``[R, L]`` True for a valid token.
        video_index: ``[R]`` the video of each prompt: ``visual[video_index]`` belongs to ``textual``.
    """

    visual: Tensor
    textual: Tensor
    textual_mask: Tensor
    video_index: Tensor
