"""One few-shot task: which videos are its examples and which are to be classified."""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal['support', 'query']


class EpisodeItem(NamedTuple):
    """One video of an episode.

    Attributes:
        index: Position of the video in the wrapped dataset.
        role: ``'support'`` for an example, ``'query'`` for a video to classify.
        way: The class within the episode, 0 to N-1. -1 marks a query without a known label.
    """

    index: int
    role: Role
    way: int


class Episode(NamedTuple):
    """One few-shot task, used as the index of one item of an :class:`EpisodicDataset`.

    Attributes:
        id: Number of the episode, 0 to ``num_episodes - 1``.
        items: Its videos: supports first, way by way, then queries, way by way.
        unreadable: Videos that could not be loaded; others are among the items in their place.
    """

    id: int
    items: tuple[EpisodeItem, ...]
    unreadable: tuple[int, ...] = ()
