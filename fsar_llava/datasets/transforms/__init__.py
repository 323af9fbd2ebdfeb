"""Transforms for pipelines of videos."""

from .load_video_tokens import LoadVideoTokens
from .mllm_resize_crop import MLLMResizeCrop
from .warn_short_video import WarnShortVideo

__all__ = ['LoadVideoTokens', 'MLLMResizeCrop', 'WarnShortVideo']
