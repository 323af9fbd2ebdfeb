"""Motion programs: the vocabulary, the sentences, the class splits and what must never be shown in training.

A *program* is a tuple of one to three primitives that one shape performs one after the other. Two operations change
nothing but temporal order:

* :func:`reverse` plays the film backwards (``right, down`` becomes ``up, left``): the same frames in opposite order;
* :func:`swap` exchanges the order of the primitives (``right, down`` becomes ``down, right``): the same motions.

Two primitives from two different axes, closed under both operations, make a :func:`quad` of four classes. The five axes
give 20 quads; a split owns whole quads, so that episodes of every split hold classes which order alone tells apart.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

Program = tuple[str, ...]

AXES: tuple[tuple[str, str], ...] = (
    ('right', 'left'),
    ('up', 'down'),
    ('grows', 'shrinks'),
    ('brightens', 'fades'),
    ('approaches', 'leaves'),
)
"""Each axis is a primitive and its inverse."""

PRIMITIVES: tuple[str, ...] = tuple(primitive for axis in AXES for primitive in axis)
INVERSE: dict[str, str] = {a: b for axis in AXES for a, b in (axis, axis[::-1])}
SPLITS: tuple[str, ...] = ('train', 'val', 'test')
MAX_LENGTH = 3

_AXIS = dict(zip('HVSBR', range(5)))  # horizontal, vertical, size, brightness, relation to the other shape
_VAL_QUADS = ('HS+', 'VB+', 'BR-')
_TEST_QUADS = ('HV-', 'HB-', 'VS+', 'SR+')
_TRAIN_QUADS = ('HV+', 'HS-', 'HB+', 'HR+', 'VS-', 'VR-', 'SB+')


def reverse(program: Program) -> Program:
    """Program of the film played backwards: inverse primitives in opposite order."""
    return tuple(INVERSE[primitive] for primitive in reversed(program))


def swap(program: Program) -> Program:
    """The same primitives in opposite order."""
    return program[::-1]


def quad(name: str) -> tuple[Program, ...]:
    """Four programs closed under :func:`reverse` and :func:`swap`.

    Args:
        name: Two axis letters of ``HVSBR`` and ``+`` (both first, or both second primitives of their axes) or ``-``,
            for example ``'HV-'`` for right/down, down/right, up/left and left/up.

    Returns:
        The programs in the order: one, its reverse, its swap, the reverse of the swap.
    """
    first = AXES[_AXIS[name[0]]][0]
    second = AXES[_AXIS[name[1]]][0 if name[2] == '+' else 1]
    program = (first, second)
    return program, reverse(program), swap(program), reverse(swap(program))


def sentence(program: Program) -> str:
    """Name of a program in words, for example ``a shape moves right then down then grows``."""
    words, moving = ['a shape'], False
    for i, primitive in enumerate(program):
        moves = primitive in AXES[0] + AXES[1]
        words += ['then'] if i else []
        words += ['moves'] if moves and not moving else []
        words += [primitive, 'another'] if primitive in AXES[4] else [primitive]
        moving = moves
    return ' '.join(words)


def _split_programs() -> dict[str, tuple[Program, ...]]:
    names = {'train': _TRAIN_QUADS, 'val': _VAL_QUADS, 'test': _TEST_QUADS}
    programs = {split: tuple(program for name in names[split] for program in quad(name)) for split in SPLITS}
    programs['train'] = tuple((primitive,) for primitive in PRIMITIVES) + programs['train']
    return programs


PROGRAMS: dict[str, tuple[Program, ...]] = _split_programs()
"""Programs of the meta-train (38), meta-val (12) and meta-test (16) classes."""

CLASSES: tuple[str, ...] = tuple(sentence(program) for split in SPLITS for program in PROGRAMS[split])
"""Class names by global label: meta-train, then meta-val, then meta-test."""

HELD_OUT: frozenset[Program] = frozenset(PROGRAMS['val'] + PROGRAMS['test'])


def leaks(program: Program) -> bool:
    """Whether a program shows a held-out one, be it as a part of a longer one or stretched by pauses.

    Pauses are no primitives, they only stretch a program in time, hence a contiguous part is all there is to look for.
    """
    return any(program[i : i + 2] in HELD_OUT for i in range(len(program) - 1))


def _all_programs(length: int) -> list[Program]:
    if length == 1:
        return [(primitive,) for primitive in PRIMITIVES]
    longer = [(*head, p) for head in _all_programs(length - 1) for p in PRIMITIVES if p != head[-1]]
    return [program for program in longer if sum(primitive in AXES[4] for primitive in program) <= 1]


ALLOWED: dict[int, tuple[Program, ...]] = {
    n: tuple(program for program in _all_programs(n) if not leaks(program)) for n in range(1, MAX_LENGTH + 1)
}
"""By length, every program that training may show: neighbours differ, one primitive at most relates to the other shape,
and none leaks a held-out program."""

UNNAMED: tuple[Program, ...] = tuple(p for p in ALLOWED[2] if p not in PROGRAMS['train'])
"""Programs of two primitives that are no class of any split: random compositions of the training stream."""


def order_pairs(split: str) -> list[tuple[int, int]]:
    """Pairs of class positions in ``PROGRAMS[split]`` that play the same film in opposite directions."""
    programs = PROGRAMS[split]
    return [(i, j) for i, j in combinations(range(len(programs)), 2) if programs[j] == reverse(programs[i])]


def reversed_pairs(split: str) -> list[tuple[str, str]]:
    """Names of the classes of a split that play the same film in opposite directions, each pair once.

    ``EpisodicSampler(num_ways=2, groups=reversed_pairs('test'))`` gives episodes that temporal order alone decides.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        ValueError: If there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f'The splits are {", ".join(SPLITS)}; there is no {split!r}.')
    names = [sentence(program) for program in PROGRAMS[split]]
    return [(names[i], names[j]) for i, j in order_pairs(split)]


def sample_training_programs(
    count: int, rng: np.random.Generator, *, known: float = 0.45, lengths: tuple[float, float, float] = (0.1, 0.6, 0.3)
) -> list[Program]:
    """Draw programs of the training stream: meta-train classes and random compositions, never a held-out one.

    Args:
        count: Number of programs.
        rng: Source of randomness.
        known: Share drawn from the meta-train classes; the rest are random compositions, some of them such classes too.
        lengths: Shares of one, two and three primitives among the random compositions.
    """
    programs = []
    for is_known in rng.random(count) < known:
        pool = PROGRAMS['train'] if is_known else ALLOWED[1 + int(rng.choice(MAX_LENGTH, p=lengths))]
        programs.append(pool[int(rng.integers(len(pool)))])
    return programs
