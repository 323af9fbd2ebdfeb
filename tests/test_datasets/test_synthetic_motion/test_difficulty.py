"""What does not suffice to solve the benchmark: raw pixels, and any single frame even if its true state were known."""

from __future__ import annotations

import numpy as np
import pytest

from fsar_llava.datasets.synthetic_motion import render
from fsar_llava.datasets.synthetic_motion.writer import class_scenes

VIDEOS, FIRST_TEST_LABEL, TEST_CLASSES = 40, 50, 16


@pytest.fixture(scope='module')
def scenes():
    return [class_scenes(FIRST_TEST_LABEL + c, VIDEOS, frames=8) for c in range(TEST_CLASSES)]


def one_shot(features: np.ndarray, *, classes=None, ways=5, episodes=1500) -> float:
    """Accuracy in percent of the nearest of one example a class; features ``[C, videos, D]``."""
    rng, right, count = np.random.default_rng(0), [], features.shape[1]
    flat = features.reshape(-1, features.shape[-1])
    square = (flat**2).sum(1)
    table = square[:, None] + square - 2 * flat @ flat.T
    for _ in range(episodes):
        chosen = (
            rng.choice(len(features), ways, replace=False) if classes is None else classes[rng.integers(len(classes))]
        )
        shot, query = np.array([rng.choice(features.shape[1], 2, replace=False) for _ in chosen]).T
        distance = table[chosen * count + query][:, chosen * count + shot]
        right.append((distance.argmin(1) == np.arange(len(chosen))).mean())
    return 100 * float(np.mean(right))


def state(scenes, frame: int) -> np.ndarray:
    """Everything true about one frame, in about equal units ``[videos, 8]``; which shape acts is not visible."""
    columns = [scenes.position[:, frame, i] * 4 for i in (0, 1)]
    columns += [scenes.size[:, frame] * 8, scenes.opacity[:, frame] * 3]
    x = np.concatenate(columns, axis=1)
    other_first = scenes.color[:, 0] > scenes.color[:, 1]
    x[other_first] = x[other_first][:, [2, 3, 0, 1, 5, 4, 7, 6]]
    return x


def test_raw_pixels_are_at_chance(scenes):
    pixels = np.stack([render(s, side=32).reshape(VIDEOS, -1) for s in scenes]).astype(np.float32)
    pixels -= pixels.mean((0, 1))
    pixels /= np.linalg.norm(pixels, axis=-1, keepdims=True)
    assert one_shot(pixels) < 24
    pairs = np.array([[4 * i + a, 4 * i + b] for i in range(4) for a, b in ((0, 1), (2, 3))])
    assert 45 < one_shot(pixels, classes=pairs) < 55


@pytest.mark.parametrize('frame', [0, 3, 7])
def test_no_single_frame_tells_the_class(scenes, frame):
    """Neither by one example (chance 20 %), nor with a discriminant fitted to 30 videos a class (chance 6 %)."""
    x = np.stack([state(s, frame) for s in scenes])
    assert one_shot(x) < 32
    fit, asked = x[:, :30], x[:, 30:]
    mean = fit.mean(1)
    precision = np.linalg.inv(np.cov((fit - mean[:, None]).reshape(-1, x.shape[-1]).T))
    offset = asked[:, :, None] - mean
    found = np.einsum('cvki,ij,cvkj->cvk', offset, precision, offset).argmin(-1)
    assert (found == np.arange(TEST_CLASSES)[:, None]).mean() < 0.25


def test_all_frames_in_order_do_tell_the_class(scenes):
    """The same reader given the changes from the first half to the second is far above chance, so the task is fair."""
    moves = []
    for s in scenes:
        actor = np.concatenate([s.position[:, :, 0] * 4, s.size[:, :, :1] * 8, s.opacity[:, :, :1] * 3], axis=-1)
        gap = np.linalg.norm(s.position[:, :, 0] - s.position[:, :, 1], axis=-1, keepdims=True) * 4
        path = np.concatenate([actor, gap], axis=-1)
        moves.append(np.concatenate([path[:, 4] - path[:, 0], path[:, 7] - path[:, 3]], axis=-1))
    assert one_shot(np.stack(moves)) > 65
