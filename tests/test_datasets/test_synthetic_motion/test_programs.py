from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from fsar_llava.datasets.synthetic_motion import (
    CLASSES,
    HELD_OUT,
    PROGRAMS,
    SPLITS,
    leaks,
    reverse,
    reversed_pairs,
    sample_training_programs,
    sentence,
    swap,
)
from fsar_llava.datasets.synthetic_motion.programs import ALLOWED, AXES, PRIMITIVES, UNNAMED, order_pairs, quad


def shows(program: tuple[str, ...], held_out: tuple[str, ...]) -> bool:
    """Whether the held-out program is a contiguous part, by plain text comparison."""
    return f' {" ".join(held_out)} ' in f' {" ".join(program)} '


def test_splits_are_large_enough_and_disjoint():
    assert [len(PROGRAMS[split]) for split in SPLITS] == [38, 12, 16]
    assert len(set(CLASSES)) == len(CLASSES) == 66
    sets = [set(PROGRAMS[split]) for split in SPLITS]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]


@pytest.mark.parametrize('split', SPLITS)
def test_every_class_shares_its_split_with_its_reverse_and_its_swap(split):
    for program in PROGRAMS[split]:
        assert reverse(program) in PROGRAMS[split]
        assert swap(program) in PROGRAMS[split]


@pytest.mark.parametrize(('split', 'pairs'), [('train', 19), ('val', 6), ('test', 8)])
def test_all_classes_are_in_pairs_that_differ_in_order_alone(split, pairs):
    found = order_pairs(split)
    assert len(found) == pairs
    assert sorted(i for pair in found for i in pair) == list(range(2 * pairs))


@pytest.mark.parametrize(('split', 'first', 'count'), [('train', 0, 19), ('val', 38, 6), ('test', 50, 8)])
def test_names_of_reversed_pairs(split, first, count):
    pairs = reversed_pairs(split)
    assert len(pairs) == count
    assert sorted(name for pair in pairs for name in pair) == sorted(CLASSES[first : first + 2 * count])
    opposite = dict(right='left', up='down', grows='shrinks', brightens='fades', approaches='leaves')
    opposite |= {back: forth for forth, back in opposite.items()}
    for forth, back in pairs:
        motions, others = ([word for word in name.split() if word in opposite] for name in (forth, back))
        assert others == [opposite[word] for word in reversed(motions)]


def test_reversed_pairs_of_the_test_split():
    assert ('a shape moves right then down', 'a shape moves up then left') in reversed_pairs('test')
    with pytest.raises(ValueError, match=r"splits are train, val, test; there is no 'meta-test'"):
        reversed_pairs('meta-test')


def test_reverse_and_swap():
    assert reverse(('right', 'down')) == ('up', 'left')
    assert reverse(('grows', 'approaches', 'fades')) == ('brightens', 'leaves', 'shrinks')
    assert swap(('right', 'down')) == ('down', 'right')
    assert quad('HV-') == (('right', 'down'), ('up', 'left'), ('down', 'right'), ('left', 'up'))


@pytest.mark.parametrize(
    ('program', 'words'),
    [
        (('right', 'down'), 'a shape moves right then down'),
        (('grows', 'up', 'left'), 'a shape grows then moves up then left'),
        (('up', 'fades', 'left'), 'a shape moves up then fades then moves left'),
        (('approaches', 'shrinks'), 'a shape approaches another then shrinks'),
    ],
)
def test_sentence(program, words):
    assert sentence(program) == words


def test_sentences_of_all_programs_differ():
    programs = [p for n in ALLOWED for p in ALLOWED[n]] + list(HELD_OUT)
    assert len({sentence(p) for p in programs}) == len(programs)


def test_allowed_programs_are_exactly_those_that_show_no_held_out_one():
    relations = set(AXES[4])
    for n in (1, 2, 3):
        expected = {
            p
            for p in product(PRIMITIVES, repeat=n)
            if all(a != b for a, b in pairwise(p))
            and sum(x in relations for x in p) <= 1
            and not any(shows(p, h) for h in HELD_OUT)
        }
        assert set(ALLOWED[n]) == expected


@pytest.mark.parametrize(
    ('program', 'expected'),
    [
        (('right', 'down'), True),
        (('fades', 'right', 'down'), True),
        (('right', 'down', 'fades'), True),
        (('right',), False),
        (('right', 'up'), False),
        (('right', 'up', 'down'), False),  # what lies between is no pause
    ],
)
def test_leaks_finds_parts_of_longer_programs(program, expected):
    assert leaks(program) is expected


def test_training_programs_never_leak_and_cover_what_they_should():
    programs = sample_training_programs(20000, np.random.default_rng(0))
    drawn = set(programs)
    assert not any(shows(p, h) for p in drawn for h in HELD_OUT)
    assert drawn >= set(PROGRAMS['train']) | set(UNNAMED)
    known = np.mean([p in PROGRAMS['train'] for p in programs])
    assert 0.45 < known < 0.9
    assert {len(p) for p in drawn} == {1, 2, 3}


def test_training_programs_depend_on_the_seed_alone():
    first, second, other = (sample_training_programs(50, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second != other
