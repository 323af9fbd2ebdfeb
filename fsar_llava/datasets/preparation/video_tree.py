"""The videos on disk, and how a listed one is found among them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import PurePosixPath

from fsar_llava.datasets.preparation.records import ListedVideo, Match
from fsar_llava.datasets.splits import ClassSplit

VIDEO_EXTENSIONS = (
    '.3gp',
    '.avi',
    '.flv',
    '.m2ts',
    '.m4v',
    '.mkv',
    '.mov',
    '.mp4',
    '.mpeg',
    '.mpg',
    '.mts',
    '.ogv',
    '.ts',
    '.webm',
    '.wmv',
)
YOUTUBE_CLIP = re.compile(r'([\w-]{11})(_\d{6}_\d{6})?')  # id, and the seconds it was cut from


class VideoTree:
    """An index of the videos below a folder. It never touches the disk, so a listed name cannot lead out of the folder.

    Args:
        paths: Of the videos, relative to the root, with ``/``.
        split: The classes; folders that are named after one tell the class of what they hold.
        youtube: Whether the names are YouTube ids. Their case matters, and the seconds behind them may be absent.
        by_top_folder: Whether the class is that of the folder directly below the root, whatever lies in between.
    """

    def __init__(
        self, paths: Iterable[str], split: ClassSplit, *, youtube: bool = False, by_top_folder: bool = False
    ) -> None:
        self.paths = sorted(paths)
        self.split = split
        self.youtube = youtube
        self.by_top_folder = by_top_folder
        self._class_of_folder: dict[str, str | None] = {}

    def class_of(self, path: str) -> str | None:
        """The class of the innermost folder that is named after one, or of the top one, in the split's spelling."""
        if self.by_top_folder:
            top, slash, _ = path.partition('/')
            return self.split.find(top) if slash else None  # what lies beside the folders of the classes is in none
        folder = path.rpartition('/')[0]
        if folder not in self._class_of_folder:
            found = self.split.find(folder.rpartition('/')[2]) if folder else None
            self._class_of_folder[folder] = found or (self.class_of(folder) if folder else None)
        return self._class_of_folder[folder]

    def find(self, video: ListedVideo) -> Match:
        """The file of a listed video, or why there is none."""
        name = stem(video.name)
        candidates, mismatch = self._by_stem.get(name, []), None
        if not candidates and self.youtube:
            candidates = self._other_cut(name)
        if not candidates:
            candidates = self._by_folded_stem.get(name.casefold(), [])
            if candidates and self.youtube:
                return Match(None, f'missing; {candidates[0]!r} differs in case, that is another YouTube id')
            mismatch = name if candidates else None
        if not candidates:
            return Match(None, 'missing')
        return self._choose(video, candidates, mismatch)

    def _choose(self, video: ListedVideo, candidates: list[str], mismatch: str | None) -> Match:
        """The one among files of the right name that lies in the right folder."""
        elsewhere = [path for path in candidates if self.class_of(path) not in (None, video.class_name)]
        fitting = [path for path in candidates if path not in elsewhere]
        if not fitting:
            return Match(None, f'missing; {elsewhere[0]!r} lies in the folder of class {self.class_of(elsewhere[0])!r}')
        if len(fitting) > 1:
            listed = f'/{without_extension(video.name)}'
            preferences: list[Callable[[str], bool]] = [
                lambda path: f'/{without_extension(path)}'.endswith(listed),
                lambda path: self.class_of(path) == video.class_name,
            ]
            for preferred in preferences:
                fitting = [path for path in fitting if preferred(path)] or fitting
        if len(fitting) > 1:
            return Match(
                None, f'ambiguous; {len(fitting)} files have this name, such as {fitting[0]!r}, {fitting[1]!r}'
            )
        return Match(fitting[0], None, mismatch)

    def _other_cut(self, name: str) -> list[str]:
        """Files of the same YouTube id where either name lacks the seconds; two different cuts are different videos."""
        clip = YOUTUBE_CLIP.fullmatch(name)
        if not clip:
            return []
        return [path for path, seconds in self._by_youtube_id.get(clip[1], []) if not (seconds and clip[2])]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        index = defaultdict(list)
        for path in self.paths:
            index[stem(path)].append(path)
        return dict(index)

    @cached_property
    def _by_folded_stem(self) -> dict[str, list[str]]:
        index = defaultdict(list)
        for name, paths in self._by_stem.items():
            index[name.casefold()] += paths
        return dict(index)

    @cached_property
    def _by_youtube_id(self) -> dict[str, list[tuple[str, str | None]]]:
        index = defaultdict(list)
        for name, paths in self._by_stem.items():
            if clip := YOUTUBE_CLIP.fullmatch(name):
                index[clip[1]] += [(path, clip[2]) for path in paths]
        return dict(index)


def without_extension(path: str) -> str:
    """A path without the extension of a video; other dots belong to the name."""
    head, dot, extension = path.rpartition('.')
    return head if f'{dot}{extension}'.lower() in VIDEO_EXTENSIONS else path


def stem(path: str) -> str:
    """The file name of a path, without the extension of a video."""
    return without_extension(path.rpartition('/')[2])


def is_video(name: str) -> bool:
    """Whether a file name has the extension of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_EXTENSIONS
