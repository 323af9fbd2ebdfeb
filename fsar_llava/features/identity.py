"""Comparing what two things were made from, field by field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType

# Where a model was loaded from may differ between machines; its fingerprint may not.
INFORMATIONAL = ('backbone.model',)


def plain(description: Mapping) -> dict:
    """A description as JSON gives it back. Classes and functions, as in configs of pure Python, become their names.

    Raises:
        TypeError: If it holds something else that JSON does not know.
    """
    return json.loads(json.dumps(description, default=_name))


def _name(value: object) -> str:
    if isinstance(value, (type, FunctionType)) and value.__name__.isidentifier():  # '<lambda>' names nothing
        return value.__name__
    raise TypeError(
        f'{value!r} of type {type(value).__name__} cannot be part of an identity, which is kept as JSON. Put texts, '
        'numbers, lists, dicts or classes into pipeline and data_preprocessor of the config.'
    )


def flatten(value: object, name: str = '') -> Iterator[tuple[str, object]]:
    """``('a.b[0]', leaf)`` of every leaf of nested mappings and sequences; an empty one is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flatten(item, f'{name}.{key}' if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for position, item in enumerate(value):
            yield from flatten(item, f'{name}[{position}]')
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def differences(expected: Mapping, found: Mapping, *, partial: bool = False) -> list[tuple[str, object, object]]:
    """The fields in which two descriptions differ.

    Args:
        expected: Nested description.
        found: Nested description.
        partial: Whether ``expected`` may leave fields out. A sequence in it is complete all the same.

    Returns:
        ``(field, expected value, found value)`` of each differing field that is not merely informational, by name.
    """
    left, right = dict(flatten(expected)), dict(flatten(found))
    names = left.keys() | right.keys()
    if partial:
        sequences = tuple({name.split('[')[0] + '[' for name in left if '[' in name})
        names = {name for name in names if name in left or (sequences and name.startswith(sequences))}
    absent = '(absent)'
    return [
        (name, left.get(name, absent), right.get(name, absent))
        for name in sorted(names)
        if left.get(name, absent) != right.get(name, absent) and name not in INFORMATIONAL
    ]


def digest(description: Mapping) -> str:
    """A hash of a description without its informational fields; equal on every machine."""
    leaves = sorted((name, value) for name, value in flatten(description) if name not in INFORMATIONAL)
    return hashlib.sha256(json.dumps(leaves, sort_keys=True).encode()).hexdigest()
