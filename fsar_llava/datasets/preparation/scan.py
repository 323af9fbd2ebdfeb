"""Looking through a folder for videos, as files or as folders of frames."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsar_llava.datasets.preparation.video_tree import is_video

FRAME = re.compile(r'(.*?)(\d+)(\.(?:jpg|jpeg|png|bmp|webp))', re.IGNORECASE)


class FrameFolder(NamedTuple):
    """A video that lies as a folder of images.

    Attributes:
        path: Relative to the root.
        template: How the images are named, such as ``'img_{:05}.jpg'``.
        first: The number of the first image.
        frames: How many there are.
        gaps: Whether they are not numbered one after the other under one name.
    """

    path: str
    template: str
    first: int
    frames: int
    gaps: bool


class Scan(NamedTuple):
    """What lies below a folder.

    Attributes:
        videos: Paths of video files relative to the root, or folders of images.
        passed_over: The reason for each of these: files that systems hide (``._name.avi`` of macOS archives) and
            further links to a folder.
        others: How many files are neither, by extension; hidden ones do not count.
    """

    videos: list
    passed_over: dict[str, str]
    others: Counter[str]


def scan_videos(root: Path) -> Scan:
    """The video files below a folder."""
    scan = Scan([], {}, Counter())
    for prefix, names in _walk(root, scan.passed_over):
        for name in names:
            if not is_video(name):
                _count(name, scan.others)
            elif name.startswith('.'):
                scan.passed_over[prefix + name] = 'the name begins with a dot'
            else:
                scan.videos.append(prefix + name)
    return scan


def scan_frames(root: Path) -> Scan:
    """The folders below a folder that hold numbered images, each a video."""
    scan = Scan([], {}, Counter())
    for prefix, names in _walk(root, scan.passed_over):
        if folder := _frame_folder(prefix.rstrip('/'), names):
            scan.videos.append(folder)
        for name in names:
            if not FRAME.fullmatch(name):
                _count(name, scan.others)
    return scan


def _count(name: str, others: Counter[str]) -> None:
    if not name.startswith('.'):
        others[PurePosixPath(name).suffix.lower() or 'no extension'] += 1


def _frame_folder(path: str, names: list[str]) -> FrameFolder | None:
    frames = [found for name in names if (found := FRAME.fullmatch(name)) and not name.startswith('.')]
    if not path or not frames:
        return None
    numbers = [int(found[2]) for found in frames]
    width = min(len(found[2]) for found in frames)
    prefix = frames[0][1].replace('{', '{{').replace('}', '}}')
    template = f'{prefix}{{:0{width}}}{frames[0][3]}'
    named_alike = all(template.format(number) == found[0] for number, found in zip(numbers, frames))
    gaps = max(numbers) - min(numbers) + 1 != len(set(numbers)) or not named_alike
    return FrameFolder(path, template, min(numbers), len(frames), gaps)


def _walk(root: Path, passed_over: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """``(path relative to root, ending in a slash; its file names)`` of each folder; links are followed once."""
    waiting, seen = [''], {}
    while waiting:
        prefix = waiting.pop()
        folder = os.path.join(root, prefix)
        status = os.stat(folder)
        first = seen.setdefault((status.st_dev, status.st_ino), prefix)
        if first != prefix:
            if not prefix.startswith(first):  # a link upwards leads to nothing else
                passed_over[prefix] = f'it is the folder {first}, under which its videos stand already'
            continue
        names = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.is_dir():
                    names.append(entry.name)
                elif not entry.name.startswith('.'):
                    waiting.append(f'{prefix}{entry.name}/')
        yield prefix, names
