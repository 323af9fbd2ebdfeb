"""Copies a table and its figures into the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = ('table.md', 'table.json', 'learning_curve.png', 'ablations.png', 'layers.png')
LARGEST = 100_000  # bytes of a figure


def publish(out: Path, target: Path) -> None:
    """Copy what a run has made.

    Raises:
        ValueError: If a figure is too large for the repository.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        source = out / name
        if source.suffix == '.png' and source.stat().st_size > LARGEST:
            raise ValueError(f'{source} has {source.stat().st_size} bytes, more than {LARGEST}. Draw it smaller.')
        shutil.copyfile(source, target / name)
