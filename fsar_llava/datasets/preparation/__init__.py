"""Preparing data sets: from a folder of videos to annotation files that say exactly what they are about.

Needs neither torch nor MMAction2. :func:`prepare_dataset` is the whole; ``tools/data/prepare.py`` its command line.
"""

from .audit import Audit
from .prepare_dataset import prepare_dataset

__all__ = ['Audit', 'prepare_dataset']
