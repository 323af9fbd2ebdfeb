"""Pictures of episodes and results."""

from .episode_figure import draw_episode

__all__ = ['draw_episode']
