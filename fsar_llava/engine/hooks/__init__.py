"""Hooks of the runner."""

from .backbone_identity_hook import BackboneIdentityHook, check_identity
from .episode_visualization_hook import EpisodeVisualizationHook

__all__ = ['BackboneIdentityHook', 'EpisodeVisualizationHook', 'check_identity']
