"""Which features of a video the episodes need."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from torch import nn

Stamp = Mapping[str, object]


class VideoVariants:
    """Numbers the distinct (video, role, prompt) that occur in episodes.

    A recognizer that sees pixels alone has one variant a video. One that reads the role or the class of a video has up
    to two, and one whose prompts (or neck) depend on the episode has one for each distinct prompt.

    Args:
        model: The recognizer.

    Attributes:
        stamps: For each variant what :meth:`EpisodicDataset.stamps` said about one of its occurrences.
    """

    def __init__(self, model: nn.Module) -> None:
        self.stamps: list[Stamp] = []
        self._prompts = getattr(model, 'prompts', None)
        # Asked once: it reads all templates, and a test has a hundred thousand stamps.
        self._prompts_episode = self._prompts is not None and self._prompts.episode_conditioned
        parts = (getattr(model, name, None) for name in ('backbone', 'neck'))
        self._reads_episode = any(getattr(part, 'episode_conditioned', False) for part in parts)
        self._rows: dict[Hashable, int] = {}
        self._new: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self.stamps)

    def row(self, stamp: Stamp) -> int:
        """The number of the variant that a stamped video is."""
        key = self._key(stamp)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.stamps)
            self.stamps.append(stamp)
            self._new.setdefault(stamp['video_index'], []).append(row)
        return row

    def _key(self, stamp: Stamp) -> Hashable:
        if self._prompts is None:
            return stamp['video_index']
        key = (stamp['video_index'], stamp['role'])
        if self._prompts_episode:
            key += (self._prompts.prompt(stamp),)
        return (*key, stamp['class_names']) if self._reads_episode else key

    @property
    def num_videos(self) -> int:
        """How many videos have variants."""
        return len({stamp['video_index'] for stamp in self.stamps})

    def take_new(self) -> dict[int, list[int]]:
        """For each video, by its index in the dataset, the numbers that its variants got since the last call."""
        new, self._new = self._new, {}
        return {video: new[video] for video in sorted(new)}
