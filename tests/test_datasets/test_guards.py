from __future__ import annotations

from types import SimpleNamespace

import pytest

from fsar_llava.datasets.guards import (
    check_class_leakage,
    common_classes,
    episode_classes,
    kinetics_pretraining,
    pretraining_note,
    selection_note,
)
from fsar_llava.datasets.splits import load_split, split_names


def classes(name, part):
    return list(load_split(name).classes[part].values())


@pytest.mark.parametrize('name', split_names())
def test_the_splits_of_a_benchmark_pass(name):
    check_class_leakage(classes(name, 'train'), classes(name, 'test'))
    check_class_leakage(classes(name, 'train'), classes(name, 'val'))
    assert selection_note(classes(name, 'val'), classes(name, 'test')) is None


@pytest.mark.parametrize(('training', 'evaluation'), [('ssv2_small', 'ssv2_full'), ('ssv2_full', 'ssv2_small')])
def test_ssv2_small_and_full_do_not_mix(training, evaluation):
    expected = {name.lower() for name in classes(training, 'train')} & {n.lower() for n in classes(evaluation, 'test')}
    with pytest.raises(ValueError, match=rf'{len(expected)} of the test classes were trained on: .*SSv2-Small'):
        check_class_leakage(classes(training, 'train'), classes(evaluation, 'test'), purpose='test')


def test_spelling_does_not_hide_a_class():
    assert common_classes(['brush hair', 'run'], ['Brush_Hair', 'walk']) == ['brush hair']
    with pytest.raises(ValueError, match="'brush hair'"):
        check_class_leakage(['Brush_Hair'], ['brush hair'])


def test_labels_without_names_may_be_of_different_classes():
    with pytest.raises(ValueError, match=r"2 of the test classes have labels .*'0', '1'.*name them with `classes`"):
        check_class_leakage(['0', '1', '2'], ['0', '1'], purpose='test')


def test_only_classes_with_videos_count():
    dataset = SimpleNamespace(class_names=('a', 'b', 'c'), class_to_indices={2: [0], 0: [1]})
    assert episode_classes(dataset) == ('c', 'a')
    assert episode_classes(object()) == ()


@pytest.mark.parametrize(
    ('checkpoint', 'expected'),
    [
        ('https://x/slowonly_r50_kinetics400-rgb_20220901.pth', 'Kinetics-400'),
        ('tsm_r50_1x1x8_50e_k400.pth', 'Kinetics-400'),
        ('uniformer_K710_pretrain.pth', 'Kinetics-710'),
        ('vit_kinetics-600.pth', 'Kinetics-600'),
        ('torchvision://resnet50', None),
        ('mk4001.pth', None),
        ('openai/clip-vit-base-patch16', None),
    ],
)
def test_kinetics_pretraining_is_recognised(checkpoint, expected):
    config = dict(backbone=dict(type='X', depth=50, init_cfg=[dict(type='Pretrained', checkpoint=checkpoint)]))
    assert kinetics_pretraining(config) == expected


def test_pretraining_is_noted_where_it_matters():
    note = pretraining_note('Kinetics-400', classes('kinetics100', 'test'))
    assert note == 'backbone pre-trained on Kinetics-400, which holds 24 of the 24 evaluation classes'
    assert pretraining_note('Kinetics-400', classes('ssv2_small', 'test')) is None
    assert pretraining_note(None, classes('kinetics100', 'test')) is None
    assert pretraining_note('ImageNet', classes('kinetics100', 'test')) is None


def test_selection_on_the_test_classes_is_noted():
    names = classes('hmdb51', 'test')
    assert selection_note(names[:3], names) == 'checkpoint chosen on 3 of the evaluation classes'
