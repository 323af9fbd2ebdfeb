"""What goes around the model in a run."""

from .hooks import *  # noqa: F403
from .loops import *  # noqa: F403
from .wrappers import *  # noqa: F403
