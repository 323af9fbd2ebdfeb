"""What travels between the parts: episodes, batches of episodes, features of videos."""

from .episode import Episode, EpisodeItem
from .episode_batch import EpisodeBatch
from .video_features import VideoFeatures, as_video_features

__all__ = ['Episode', 'EpisodeBatch', 'EpisodeItem', 'VideoFeatures', 'as_video_features']
