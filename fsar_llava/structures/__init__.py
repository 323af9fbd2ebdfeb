"""What travels between the parts: episodes, batches of episodes, features of videos, scores."""

from .episode import Episode, EpisodeItem
from .episode_batch import EpisodeBatch
from .episode_scores import EpisodeScores
from .prepared_videos import BankRows, PreparedVideos, gather
from .token_batch import TokenBatch
from .video_features import VideoFeatures, as_video_features

__all__ = [
    'BankRows',
    'Episode',
    'EpisodeBatch',
    'EpisodeItem',
    'EpisodeScores',
    'PreparedVideos',
    'TokenBatch',
    'VideoFeatures',
    'as_video_features',
    'gather',
]
