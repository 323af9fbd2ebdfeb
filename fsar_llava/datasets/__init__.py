"""Episodes: which videos they consist of, and how those are loaded."""

from .episodic_dataset import EpisodicDataset
from .episodic_sampler import EpisodicSampler
from .transforms import *  # noqa: F403

__all__ = ['EpisodicDataset', 'EpisodicSampler']
