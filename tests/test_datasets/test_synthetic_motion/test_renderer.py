from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from fsar_llava.datasets.synthetic_motion import PROGRAMS, Scenes, frame_times, render, sample_scenes


@pytest.fixture(scope='module')
def scenes():
    return sample_scenes(list(PROGRAMS['train']) * 3, frame_times(8), np.random.default_rng(0))


def take(scenes: Scenes, index) -> Scenes:
    return Scenes(**{f.name: getattr(scenes, f.name)[index] for f in fields(Scenes)})


@pytest.mark.parametrize('side', [32, 64, 96])
def test_shape_and_type(scenes, side):
    frames = render(take(scenes, slice(0, 3)), side=side)
    assert frames.shape == (3, 8, side, side, 3)
    assert frames.dtype == np.uint8


def test_a_clip_looks_the_same_whichever_others_are_drawn(scenes):
    together = render(take(scenes, slice(0, 6)))
    alone = render(take(scenes, slice(4, 5)))
    np.testing.assert_array_equal(together[4], alone[0])


def test_shapes_are_where_the_trajectory_says_in_their_color(scenes):
    """Solid shapes have their hue at their centre, wherever the other one does not cover it."""
    frames, checked = render(scenes), 0
    for v, t, i in np.ndindex(scenes.size.shape):
        apart = np.linalg.norm(scenes.position[v, t, 0] - scenes.position[v, t, 1])
        if scenes.opacity[v, t, i] < 0.9 or apart < scenes.size[v, t].sum() / 2 + 0.05:
            continue
        x, y = np.floor((scenes.position[v, t, i] + np.rint(scenes.shake[v, t] * 64) / 64) * 64).astype(int)
        hue = cv2.cvtColor(frames[v, t, y : y + 1, x : x + 1], cv2.COLOR_RGB2HSV)[0, 0, 0]
        off = (hue - scenes.color[v, i] * 180 / 8 + 90) % 180 - 90
        assert abs(off) < 12
        checked += 1
    assert checked > 200


def test_a_dim_shape_is_fainter_than_a_solid_one(scenes):
    dim = take(scenes, slice(0, 20))
    empty, faint, solid = (
        render(Scenes(**{**vars(dim), 'opacity': np.full_like(dim.opacity, level)})).astype(float)
        for level in (0.0, 0.4, 1.0)
    )
    for v in range(20):
        assert 0 < np.abs(faint[v] - empty[v]).sum() < 0.6 * np.abs(solid[v] - empty[v]).sum()


def test_the_background_differs_from_clip_to_clip(scenes):
    empty = render(Scenes(**{**vars(scenes), 'opacity': np.zeros_like(scenes.opacity)}))
    assert np.std(empty.mean((1, 2, 3, 4))) > 10
