from __future__ import annotations

import numpy as np
import pytest

from fsar_llava.datasets.synthetic_motion import CLASSES, PROGRAMS, frame_times, reverse, sample_scenes
from fsar_llava.datasets.synthetic_motion.programs import ALLOWED, order_pairs
from fsar_llava.datasets.synthetic_motion.writer import class_scenes

from .reader import read_program


def read(scenes, clip):
    return read_program(scenes.position[clip], scenes.size[clip], scenes.opacity[clip])


@pytest.mark.parametrize('length', [1, 2, 3])
def test_the_true_trajectories_tell_every_program(length):
    programs = [p for p in ALLOWED[length] for _ in range(4 if length < 3 else 1)]
    scenes = sample_scenes(programs, frame_times(64), np.random.default_rng(length))
    assert [read(scenes, i) for i in range(len(programs))] == programs


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_every_reversed_pair_is_told_apart_by_its_trajectories(split):
    offset = {'train': 0, 'val': 38, 'test': 50}[split]
    for pair in order_pairs(split):
        for member in pair:
            scenes = class_scenes(offset + member, 6, frames=64)
            assert {read(scenes, i) for i in range(6)} == {PROGRAMS[split][member]}


def test_a_film_played_backwards_is_the_reversed_program():
    programs = [p for p in PROGRAMS['test'] for _ in range(3)]
    scenes = sample_scenes(programs, frame_times(64), np.random.default_rng(5))
    for i, program in enumerate(programs):
        backwards = read_program(scenes.position[i, ::-1], scenes.size[i, ::-1], scenes.opacity[i, ::-1])
        assert backwards == reverse(program)


def test_two_shapes_are_always_there_and_stay_in_view():
    programs = [p for n in ALLOWED for p in ALLOWED[n]]
    scenes = sample_scenes(programs, frame_times(8), np.random.default_rng(0))
    assert scenes.position.shape == (len(programs), 8, 2, 2)
    assert scenes.position.min() > 0.0
    assert scenes.position.max() < 1.0
    assert scenes.opacity.min() >= 0.29
    assert scenes.size.min() >= 0.165
    assert (scenes.color[:, 0] != scenes.color[:, 1]).all()


def test_the_bystander_does_far_less_than_the_actor():
    scenes = sample_scenes(list(PROGRAMS['train']) * 5, frame_times(8), np.random.default_rng(0))
    assert np.ptp(scenes.position[:, :, 1], axis=1).max() < 0.06
    assert np.ptp(scenes.size[:, :, 1], axis=1).max() == 0
    assert np.ptp(scenes.opacity[:, :, 1], axis=1).max() == 0


def test_relations_do_what_they_say():
    for program, sign in ((('approaches',), -1), (('leaves',), 1)):
        scenes = sample_scenes([program] * 50, frame_times(8), np.random.default_rng(1))
        gap = np.linalg.norm(scenes.position[:, :, 0] - scenes.position[:, :, 1], axis=-1)
        assert (sign * (gap[:, -1] - gap[:, 0]) > 0.15).all()


@pytest.mark.parametrize('nuisance', ['color', 'shape', 'shake', 'seed'])
def test_nuisances_do_not_depend_on_the_program(nuisance):
    """Their means over many clips agree, whatever the program."""
    means = []
    for label in (4, 50, 62):
        values = getattr(class_scenes(label, 600, frames=8), nuisance).astype(float)
        means.append(values.reshape(600, -1).mean() / (values.std() + 1e-12))
    assert np.ptp(means) < 0.25


def test_every_color_and_shape_occurs_in_every_class():
    for label in range(0, len(CLASSES), 7):
        scenes = class_scenes(label, 200, frames=8)
        assert len(np.unique(scenes.color)) == len(np.unique(scenes.shape)) == 8


def test_scenes_depend_on_their_arguments_alone():
    first, second, other = class_scenes(3, 5), class_scenes(3, 5), class_scenes(3, 5, seed=1)
    np.testing.assert_array_equal(first.position, second.position)
    assert not np.array_equal(first.position, other.position)
    np.testing.assert_array_equal(class_scenes(3, 9).position[:5], first.position)


def test_frame_times_are_the_middles_of_segments():
    np.testing.assert_allclose(frame_times(4), [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(frame_times(24)[1::3], frame_times(8))
