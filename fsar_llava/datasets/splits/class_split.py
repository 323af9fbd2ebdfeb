"""A division of classes into meta-train, meta-val and meta-test, and the benchmarks' own ones."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

SPLITS = ('train', 'val', 'test')
FOLDER = Path(__file__).parent


def fold_name(name: str) -> str:
    """What stays of a class name when case, spaces and punctuation are ignored: ``'Brush_hair'`` -> ``'brushhair'``.

    Marks stay, since many scripts write vowels as marks; a name without any letter or digit stays as it is.
    """
    characters = unicodedata.normalize('NFC', name.casefold())
    return ''.join(c for c in characters if c.isalnum() or unicodedata.category(c).startswith('M')) or name


@dataclass(frozen=True)
class ClassSplit:
    """The classes of a data set by split.

    A label counts the classes through train, val and test, in the order of the mappings.

    Args:
        name: Short name, such as ``'hmdb51'``.
        classes: For each of :data:`SPLITS`, the class names as the data set spells them, each with the name for
            prompts.
        title: Name for tables.
        provenance: Where the split comes from.
        videos: The published number of videos by split, where there is one.
        official_label_ids: By split, the labels that the data set's own files give to the classes, where these differ.

    Raises:
        ValueError: If a class occurs twice, or two classes differ only in case and punctuation.
    """

    name: str
    classes: Mapping[str, Mapping[str, str]]
    title: str = ''
    provenance: str = ''
    videos: Mapping[str, int] = field(default_factory=dict)
    official_label_ids: Mapping[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.classes) != set(SPLITS):
            raise ValueError(
                f'A class split needs the splits {list(SPLITS)}, but {self.name} has {list(self.classes)}.'
            )
        for spellings in (self.class_names, self.names):
            seen: dict[str, str] = {}
            for name in spellings:
                if fold_name(name) in seen:
                    raise ValueError(
                        f'The classes {seen[fold_name(name)]!r} and {name!r} of {self.name} are the same but for case '
                        'and punctuation. Merge or rename them: every class must occur once, in one split.'
                    )
                seen[fold_name(name)] = name

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """By label, the names as the data set spells them."""
        return tuple(name for split in SPLITS for name in self.classes[split])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """By label, the names for prompts."""
        return tuple(name for split in SPLITS for name in self.classes[split].values())

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """The label of a class, by the data set's spelling."""
        return MappingProxyType({name: label for label, name in enumerate(self.class_names)})

    @cached_property
    def split_of(self) -> Mapping[str, str]:
        """The split of a class, by the data set's spelling."""
        return MappingProxyType({name: split for split in SPLITS for name in self.classes[split]})

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {fold_name(name): name for name in self.class_names}

    def find(self, name: str) -> str | None:
        """The data set's spelling of a class whose name is spelled in another case or with other punctuation."""
        return name if name in self.labels else self._folded.get(fold_name(name))


def split_names() -> list[str]:
    """The benchmarks whose class splits are part of the package."""
    return sorted(path.stem for path in FOLDER.glob('*.json'))


@lru_cache
def load_split(name: str) -> ClassSplit:
    """The class split of a benchmark.

    Args:
        name: One of :func:`split_names`.

    Raises:
        ValueError: If the package has no such split.
    """
    if name not in split_names():
        raise ValueError(
            f'The package has no class split {name!r}, only {split_names()}. Own videos are prepared with '
            '`tools/data/prepare.py custom`.'
        )
    return ClassSplit(name=name, **json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8')))
