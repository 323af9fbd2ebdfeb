"""Miniature data sets on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest


def write_video(path: Path, *, frames: int = 10, seed: int = 0) -> None:
    """A real MPEG-4 file, whatever its name's extension says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / 'temporary.mp4'
    writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*'mp4v'), 10, (32, 32))
    rng = np.random.RandomState(seed)
    for _ in range(frames):
        writer.write(rng.randint(0, 256, (32, 32, 3), np.uint8))
    writer.release()
    temporary.rename(path)


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Mapping[str, object]], Path]:
    """Makes the folder ``videos`` from ``{path: content}``.

    The content is a number of frames for a real video, bytes, or ``'same as'`` another path.
    """

    def make(files: Mapping[str, object]) -> Path:
        root = tmp_path / 'videos'
        for seed, (name, content) in enumerate(files.items()):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                write_video(path, frames=content, seed=seed)
            else:
                path.write_bytes((root / content).read_bytes() if isinstance(content, str) else content)
        return root

    return make


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file beside the videos."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding='utf-8')
        return path

    return write
