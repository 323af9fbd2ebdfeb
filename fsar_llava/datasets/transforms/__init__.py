"""Transforms for pipelines of videos."""

from .warn_short_video import WarnShortVideo

__all__ = ['WarnShortVideo']
