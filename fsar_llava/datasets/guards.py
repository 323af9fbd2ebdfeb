"""Rules of few-shot evaluation that a run must not break unnoticed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fsar_llava.datasets.splits import fold_name, load_split

KINETICS = re.compile(r'(?<![a-z0-9])(?:kinetics[-_ ]?|k)(400|600|700|710)(?![0-9])', re.IGNORECASE)


def episode_classes(dataset: Any) -> tuple[str, ...]:
    """The names of the classes that an :class:`EpisodicDataset` draws from; nothing for another dataset.

    Its ``class_names`` hold those of all splits.
    """
    names = getattr(dataset, 'class_names', ())
    return tuple(names[label] for label in getattr(dataset, 'class_to_indices', ()))


def common_classes(one: Iterable[str], other: Iterable[str]) -> list[str]:
    """The classes of ``one`` that ``other`` has as well, however they are spelled.

    SSv2-Small and SSv2-Full name their classes by the same templates, so that this finds those they share.
    """
    known = {fold_name(name) for name in other}
    return sorted(name for name in set(one) if fold_name(name) in known)


def check_class_leakage(training: Iterable[str], evaluation: Iterable[str], *, purpose: str = 'evaluation') -> None:
    """Refuse to evaluate on classes that were trained on: few-shot accuracy is about new classes.

    Args:
        training: Names of the training classes.
        evaluation: Names of the evaluation classes.
        purpose: What the evaluation classes are for, in words.

    Raises:
        ValueError: If there are common classes.
    """
    common = common_classes(evaluation, training)
    if common and all(name.isdecimal() for name in common):  # what an EpisodicDataset without `classes` calls them
        raise ValueError(
            f'{len(common)} of the {purpose} classes have labels that training classes have too: {_some(common)}. '
            'Where these lists number their classes each from 0, name them with `classes` in every EpisodicDataset; '
            'else they are the same classes, and few-shot recognition is measured on new ones.'
        )
    if common:
        raise ValueError(
            f'{len(common)} of the {purpose} classes were trained on: {_some(common)}. Few-shot recognition is '
            'measured on new classes. Use the splits of one data set for training and evaluation (those of SSv2-Small '
            'and SSv2-Full share classes), or, if this is meant, set ProtocolHook(strict=False), to mark the result.'
        )


def kinetics_pretraining(config: Any) -> str | None:
    """The Kinetics data set that a model's config says it was pre-trained on, from the names of its checkpoints.

    Args:
        config: The model's config, nested dicts and lists.

    Returns:
        ``'Kinetics-400'`` or the like, or None.
    """
    for text in _texts(config):
        if found := KINETICS.search(text):
            return f'Kinetics-{found[1]}'
    return None


def pretraining_note(pretrained_on: str | None, evaluation: Iterable[str]) -> str | None:
    """What a result must be marked with if its backbone has seen the evaluation classes in pre-training.

    Args:
        pretrained_on: Such as ``'Kinetics-400'``. Kinetics holds all classes of Kinetics-100.
        evaluation: Names of the evaluation classes.
    """
    if not pretrained_on or not pretrained_on.casefold().startswith(('kinetics', 'k400', 'k600', 'k700', 'k710')):
        return None
    evaluation = set(evaluation)
    seen = common_classes(evaluation, load_split('kinetics100').names)
    if not seen:
        return None
    return (
        f'backbone pre-trained on {pretrained_on}, which holds {len(seen)} of the {len(evaluation)} evaluation classes'
    )


def selection_note(selection: Iterable[str], evaluation: Iterable[str]) -> str | None:
    """What a result must be marked with if its checkpoint was chosen on the evaluation classes.

    Args:
        selection: Names of the classes of validation.
        evaluation: Names of the evaluation classes.
    """
    common = common_classes(evaluation, selection)
    return f'checkpoint chosen on {len(common)} of the evaluation classes' if common else None


def _texts(config: Any) -> Iterator[str]:
    """All text values of nested dicts and lists."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from _texts(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _texts(value)


def _some(names: list[str]) -> str:
    return ', '.join(map(repr, names[:5])) + (' ...' if len(names) > 5 else '')
