"""How a result is shown and kept."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from fsar_llava.features.atomic_file import write_atomically
from fsar_llava.version import __version__


def class_table(per_class: Sequence[dict[str, Any]], confusion: Sequence[Sequence[int]]) -> str:
    """A table of the classes for the log.

    Args:
        per_class: ``name``, ``queries`` and ``acc`` (percent) of each of C classes.
        confusion: ``[C, C]`` counts of queries by true (row) and predicted (column) class.
    """
    table = Table('class', box=None)
    for title in ('queries', 'accuracy'):
        table.add_column(title, justify='right')
    table.add_column('most often taken for')
    for i, (entry, row) in enumerate(zip(per_class, confusion)):
        errors = np.array(row)
        errors[i] = 0
        rival = f'{per_class[errors.argmax()]["name"]} ({errors.max()})' if errors.any() else ''
        # Text, since rich would take a name such as '[red]' for markup.
        table.add_row(Text(entry['name']), str(entry['queries']), f'{entry["acc"]:.2f}', Text(rival))
    text = io.StringIO()
    Console(file=text, width=120, color_system=None).print(table)
    return '\n'.join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


def versions() -> dict[str, str | None]:
    """Versions of what a result depends on; None for a package that is not installed."""
    found: dict[str, str | None] = dict(fsar_llava=__version__)
    for name in ('mmaction2', 'mmengine', 'torch', 'transformers', 'numpy'):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Write a JSON file that is never seen half written.

    Numbers may be those of numpy and torch; what is infinite or no number becomes null, since JSON knows neither.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(content, default=_plain), parse_constant=lambda name: None)
    text = json.dumps(plain, indent=2, ensure_ascii=False) + '\n'
    write_atomically(path, text.encode())


def _plain(value: object) -> object:
    """What ``json`` cannot write by itself, as numbers or, where it is something else, as text."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray, Tensor)) else str(value)
