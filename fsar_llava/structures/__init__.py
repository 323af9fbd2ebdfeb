"""What travels between the parts: episodes, batches of episodes, features of videos, scores."""

from .episode import Episode, EpisodeItem
from .episode_batch import EpisodeBatch
from .episode_scores import EpisodeScores
from .video_features import VideoFeatures, as_video_features

__all__ = ['Episode', 'EpisodeBatch', 'EpisodeItem', 'EpisodeScores', 'VideoFeatures', 'as_video_features']
