"""Few-shot action recognition for MMAction2.

Importing the package repairs what keeps MMAction2 from running on current libraries and registers every component in
MMAction2's registries, so that a config needs only ``custom_imports = dict(imports=['fsar_llava'])``.
"""

from . import compat

compat.apply()

from . import datasets, engine, evaluation, models  # noqa: E402
from .structures import Episode, EpisodeBatch, EpisodeItem, VideoFeatures, as_video_features  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    'Episode',
    'EpisodeBatch',
    'EpisodeItem',
    'VideoFeatures',
    '__version__',
    'as_video_features',
    'datasets',
    'engine',
    'evaluation',
    'models',
]
