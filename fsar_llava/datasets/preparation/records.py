"""The small records that the steps of a preparation hand on."""

from __future__ import annotations

from typing import NamedTuple


class ListedVideo(NamedTuple):
    """A video that belongs to a benchmark.

    Attributes:
        split: ``'train'``, ``'val'`` or ``'test'``.
        class_name: The class, in the split's spelling.
        name: Its file name or id, with folders and extension where the list has them.
        source: Where it is listed, such as ``'vallist07.txt:3'``.
    """

    split: str
    class_name: str
    name: str
    source: str


class Match(NamedTuple):
    """What was found on disk for a listed video.

    Attributes:
        path: Relative to the root, or None.
        reason: Why there is none.
        mismatch: The listed name, where the file's differs from it in case.
    """

    path: str | None
    reason: str | None
    mismatch: str | None = None


class Entry(NamedTuple):
    """A video that goes into an annotation file."""

    path: str
    split: str
    class_name: str


class LeftOut(NamedTuple):
    """A video that does not, and why.

    Attributes:
        video: Its path, or the name it is listed under.
        kind: ``'missing'``, ``'repeated'`` in a list, ``'extra'``, ``'unreadable'`` or ``'refused'``.
        reason: In words.
        split: Of the benchmark, where it belongs to one.
        class_name: In the split's spelling, likewise.
    """

    video: str
    kind: str
    reason: str
    split: str | None = None
    class_name: str | None = None


class CaseMismatch(NamedTuple):
    """A name on disk that is spelled in another way than in the benchmark."""

    expected: str
    found: str


class Opened(NamedTuple):
    """What the decoder says about a video.

    Attributes:
        frames: How many it has.
        digest: SHA-256 of its content.
        error: Why it could not be read; the others are then 0 and empty.
    """

    frames: int
    digest: str
    error: str | None = None
