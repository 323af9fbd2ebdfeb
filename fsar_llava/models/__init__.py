"""Parts of models: backbones and necks know one video, the head alone knows episodes."""

from .backbones import *  # noqa: F403
from .data_preprocessors import *  # noqa: F403
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .matching import *  # noqa: F403
from .necks import *  # noqa: F403
from .prototypes import *  # noqa: F403
from .recognizers import *  # noqa: F403
