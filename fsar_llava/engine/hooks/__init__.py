"""Hooks of the runner."""

from .backbone_identity_hook import BackboneIdentityHook, check_identity
from .episode_visualization_hook import EpisodeVisualizationHook
from .loaded_weights_hook import LoadedWeightsHook
from .progress_bar_hook import ProgressBarHook
from .protocol_hook import ProtocolHook

__all__ = [
    'BackboneIdentityHook',
    'EpisodeVisualizationHook',
    'LoadedWeightsHook',
    'ProgressBarHook',
    'ProtocolHook',
    'check_identity',
]
