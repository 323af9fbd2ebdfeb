from __future__ import annotations

import json
import re
from itertools import combinations

import pytest

from fsar_llava.datasets.splits import ClassSplit, fold_name, load_split, split_names

COUNTS = {  # classes and videos of train, val and test, as published
    'hmdb51': ((31, 10, 10), (4280, 1194, 1292)),
    'ucf101': ((70, 10, 21), (9154, 1421, 2745)),
    'kinetics100': ((64, 12, 24), (6400, 1200, 2400)),
    'ssv2_small': ((64, 12, 24), (6400, 1200, 2400)),
    'ssv2_full': ((64, 12, 24), (67013, 1926, 2857)),
}


def custom(**classes):
    parts = dict(dict(train={}, val={}, test={}), **classes)
    return ClassSplit(name='mine', classes=parts)


def test_all_benchmarks_are_there():
    assert split_names() == sorted(COUNTS)


@pytest.mark.parametrize('name', COUNTS)
def test_counts_and_disjointness(name):
    split = load_split(name)
    parts = [set(split.classes[part]) for part in ('train', 'val', 'test')]
    assert tuple(map(len, parts)) == COUNTS[name][0]
    assert all(one.isdisjoint(other) for one, other in combinations(parts, 2))
    folded = [{re.sub(r'[\W_]', '', class_name).lower() for class_name in part} for part in parts]
    assert all(one.isdisjoint(other) for one, other in combinations(folded, 2))
    assert tuple(split.videos[part] for part in ('train', 'val', 'test')) == COUNTS[name][1]
    assert split.provenance


@pytest.mark.parametrize('name', COUNTS)
def test_labels_count_through_train_val_test(name):
    split, (train, val, test) = load_split(name), COUNTS[name][0]
    assert sorted(split.labels.values()) == list(range(train + val + test))
    for class_name, label in split.labels.items():
        part = 'train' if label < train else 'val' if label < train + val else 'test'
        assert split.split_of[class_name] == part
        assert split.class_names[label] == class_name
        assert split.names[label] == split.classes[part][class_name]


@pytest.mark.parametrize('name', COUNTS)
def test_prompt_names_are_readable(name):
    for text in load_split(name).names:
        assert text == text.strip()
        assert not set(text) & set('_[]\t\n')
        assert not re.search('[a-z][A-Z]', text)


@pytest.mark.parametrize(
    ('name', 'class_name', 'prompt'),
    [
        ('hmdb51', 'brush_hair', 'brush hair'),
        ('ucf101', 'ApplyEyeMakeup', 'apply eye makeup'),
        ('ucf101', 'HandstandPushups', 'handstand pushups'),
        ('kinetics100', 'hurling (sport)', 'hurling (sport)'),
        ('ssv2_small', 'Stacking number of something', 'Stacking number of something'),
    ],
)
def test_some_prompt_names(name, class_name, prompt):
    split = load_split(name)
    assert split.names[split.labels[class_name]] == prompt


def test_official_labels_of_ssv2():
    ids = load_split('ssv2_full').official_label_ids
    assert {part: len(values) for part, values in ids.items()} == dict(train=64, val=12, test=24)
    together = [value for values in ids.values() for value in values]
    assert len(set(together)) == 100
    assert all(0 <= value < 174 for value in together)
    # The official labels number the templates in alphabetical order.
    assert ids['test'][0] == 0
    assert next(iter(load_split('ssv2_full').classes['test'])) == 'Approaching something with your camera'


@pytest.mark.parametrize('spelling', ['brush hair', 'Brush_Hair', 'BRUSH-HAIR'])
def test_other_spellings_are_found(spelling):
    assert load_split('hmdb51').find(spelling) == 'brush_hair'
    assert load_split('hmdb51').find('brush') is None
    assert fold_name(spelling) == 'brushhair'


@pytest.mark.parametrize(('one', 'other'), [('कि', 'का'), ('+', '-')])
def test_different_names_in_any_script_stay_different(one, other):
    assert custom(train={one: one}, val={other: other}).find(other) == other
    assert fold_name(one) != fold_name(other)


def test_accents_may_be_encoded_in_two_ways():
    assert fold_name('Café') == fold_name('Cafe\u0301') == 'café'


def test_ssv2_splits_share_classes_across_meta_splits():
    small, full = load_split('ssv2_small').classes, load_split('ssv2_full').classes
    assert set(small['train']) & set(full['test'])
    assert set(full['train']) & set(small['test'])


def test_unknown_split():
    with pytest.raises(ValueError, match=r"no class split 'hmdb', only \['hmdb51'"):
        load_split('hmdb')


@pytest.mark.parametrize(
    'classes',
    [
        dict(train={'run': 'run'}, test={'run': 'run'}),
        dict(train={'Brush_hair': 'a'}, val={'brush hair': 'b'}),
        dict(train={'a': 'same', 'b': 'Same'}),
    ],
)
def test_repeated_classes_are_refused(classes):
    with pytest.raises(ValueError, match='the same but for case and punctuation'):
        custom(**classes)


def test_split_names_are_fixed():
    with pytest.raises(ValueError, match='needs the splits'):
        ClassSplit(name='mine', classes=dict(train={}, test={}))


def test_files_are_plain_json():
    from fsar_llava.datasets.splits import class_split

    for path in class_split.FOLDER.glob('*.json'):
        assert set(json.loads(path.read_text())) >= {'title', 'provenance', 'videos', 'classes'}
