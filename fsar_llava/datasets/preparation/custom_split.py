"""Dividing the classes of own videos."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fsar_llava.datasets.preparation.list_files import read_text, split_of_file
from fsar_llava.datasets.splits import SPLITS, ClassSplit


def split_by_ratio(class_names: Iterable[str], ratio: Sequence[float], *, seed: int = 0) -> ClassSplit:
    """Divide classes at random; the same names and seed give the same division everywhere.

    Args:
        class_names: Names of the class folders.
        ratio: Shares of train, val and test, such as ``(2, 1, 1)``.
        seed: Of the order in which classes are dealt out.

    Raises:
        ValueError: If a split would get no class although its share is not 0, or a name has no valid encoding.
    """
    if len(ratio) != 3 or min(ratio) < 0 or not 0 < sum(ratio) < math.inf:
        raise ValueError(f'The split ratio needs three shares of at least 0, such as 2 1 1, but is {list(ratio)}.')
    class_names = list(class_names)
    garbled = [name for name in class_names if name != name.encode('utf-8', 'replace').decode()]
    if garbled:
        raise ValueError(
            f'The name of the class folder {garbled[0]!r} is not valid UTF-8, as in archives of old systems. Rename it.'
        )
    order = sorted(class_names, key=lambda name: hashlib.sha256(f'{seed}\t{name}'.encode()).digest())
    ends = [round(len(order) * sum(ratio[: number + 1]) / sum(ratio)) for number in range(3)]
    parts = [order[begin:end] for begin, end in zip([0, *ends], ends)]
    for split, share, part in zip(SPLITS, ratio, parts):
        if share and not part:
            raise ValueError(
                f'{len(order)} classes divided by {list(ratio)} leave none for {split}. Choose another ratio, or name '
                'the classes of each split with --class-lists.'
            )
    return _custom(dict(zip(SPLITS, parts)), f'classes divided by {list(ratio)}, seed {seed}')


def split_by_lists(class_names: Iterable[str], files: Sequence[str | Path]) -> ClassSplit:
    """Divide classes as files say, a class folder a line, with ``train``, ``val`` or ``test`` in the file's name.

    Args:
        class_names: Names of the class folders.
        files: At most one for each split.

    Raises:
        ValueError: If a file cannot be read, a listed class has no folder, or none is listed.
    """
    parts: dict[str, list[str]] = {split: [] for split in SPLITS}
    known = set(class_names)
    for file in map(Path, files):
        for number, line in enumerate(read_text(file).split('\n'), start=1):
            name = line.strip()
            if name and name not in known:
                raise ValueError(
                    f'{file}:{number}: there is no folder {name!r}. The class folders are {sorted(known)}.'
                )
            parts[split_of_file(file)] += [name] if name else []
    if not any(parts.values()):
        raise ValueError(f'{", ".join(map(str, files))} name no class. Expected a class folder a line.')
    return _custom(parts, 'classes divided by ' + ', '.join(Path(file).name for file in files))


def readable(name: str) -> str:
    """A folder's name as a prompt says it: ``'Apply_EyeMakeup'`` -> ``'apply eye makeup'``; one with spaces stays.

    Line breaks become spaces, since ``classes.txt`` has a line for each name.
    """
    name = ' '.join(name.splitlines())
    if ' ' in name:
        return name
    return re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name.replace('_', ' ')).lower()


def _custom(parts: dict[str, list[str]], provenance: str) -> ClassSplit:
    classes = {split: {name: readable(name) for name in sorted(names)} for split, names in parts.items()}
    if sum(map(len, parts.values())) != sum(map(len, classes.values())):
        repeated = sorted({name for names in parts.values() for name in names if names.count(name) > 1})
        raise ValueError(f'The classes {repeated} are listed twice for one split. List every class once.')
    return ClassSplit(name='custom', title='own videos', provenance=provenance, classes=classes)
