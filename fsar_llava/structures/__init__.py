"""What travels between the parts: episodes, batches of episodes, features of videos, scores."""

from .episode import Episode, EpisodeItem
from .episode_batch import EpisodeBatch
from .episode_scores import EpisodeScores
from .token_batch import TokenBatch
from .video_features import VideoFeatures, as_video_features

__all__ = [
    'Episode',
    'EpisodeBatch',
    'EpisodeItem',
    'EpisodeScores',
    'TokenBatch',
    'VideoFeatures',
    'as_video_features',
]
