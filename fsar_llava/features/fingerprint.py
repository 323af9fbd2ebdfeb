"""Noticing that a video is no longer the one that was encoded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class Fingerprint(NamedTuple):
    """What identifies the content of a video file, or of a folder of frames.

    Attributes:
        size: Bytes, of all files together.
        mtime_ns: Time of the last change of any of the files.
        sha256: Hash of the content.
        total_frames: Frames that the list of videos gives a folder of frames; where they are sampled depends on it.
    """

    size: int
    mtime_ns: int
    sha256: str
    total_frames: int | None = None

    @classmethod
    def of(cls, path: str | Path, total_frames: int | None = None) -> Fingerprint:
        """Read a video, or a folder of frames, once."""
        files = _files(path)
        size, mtime_ns = _size_and_time(files)
        content = hashlib.sha256()
        for file in files:
            if len(files) > 1:
                content.update(f'{file.name}:{file.stat().st_size}:'.encode())
            with file.open('rb') as stream:
                while block := stream.read(1 << 20):
                    content.update(block)
        return cls(size, mtime_ns, content.hexdigest(), total_frames)

    def matches(self, path: str | Path, total_frames: int | None = None) -> bool:
        """Whether the content is still the same; it is read only where size is equal and the time is not."""
        if total_frames != self.total_frames:
            return False
        size, mtime_ns = _size_and_time(_files(path))
        if size != self.size:
            return False
        return mtime_ns == self.mtime_ns or Fingerprint.of(path).sha256 == self.sha256


def _files(path: str | Path) -> list[Path]:
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file())
    if not files:
        raise FileNotFoundError(f'The folder of frames {path} is empty.')
    return files


def _size_and_time(files: list[Path]) -> tuple[int, int]:
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)
