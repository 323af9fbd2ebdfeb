"""SyntheticMotion: a small world of moving shapes in which few-shot recognition can be trained and tested anywhere.

The generator needs numpy and OpenCV alone. ``programs`` says what happens, ``scenes`` where everything is, ``renderer``
what it looks like, ``writer`` puts it on disk.
"""

from .programs import (
    CLASSES,
    HELD_OUT,
    PROGRAMS,
    SPLITS,
    leaks,
    reverse,
    reversed_pairs,
    sample_training_programs,
    sentence,
    swap,
)
from .renderer import render
from .scenes import Scenes, frame_times, sample_scenes

__all__ = [
    'CLASSES',
    'HELD_OUT',
    'PROGRAMS',
    'SPLITS',
    'Scenes',
    'frame_times',
    'leaks',
    'render',
    'reverse',
    'reversed_pairs',
    'sample_scenes',
    'sample_training_programs',
    'sentence',
    'swap',
]
