"""Which pipelines may make the features that episodes share."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS

from fsar_llava.features.deterministic_pipeline import check_deterministic

GENERATOR = np.random.default_rng(0)


def video() -> dict:
    return dict(imgs=[np.full((8, 8, 3), t, np.uint8) for t in range(4)], img_shape=(8, 8), modality='RGB')


def adding(number: Callable[[], float]) -> Callable[[dict], dict]:
    """A transform that adds a number to what a pipeline knows."""
    return lambda results: dict(results, number=number())


def seeded() -> float:
    np.random.seed(255)
    return np.random.rand()


@pytest.mark.parametrize(
    'config',
    [dict(type='Flip', flip_ratio=0.4), dict(type='Flip', flip_ratio=0.1), dict(type='RandomErasing', erase_prob=0.25)],
)
def test_what_seldom_changes_a_video_is_random(config: dict) -> None:
    with pytest.raises(ValueError, match=f'The pipeline is random: {config["type"]}.* draws random numbers'):
        check_deterministic([TRANSFORMS.build(config)], video)


@pytest.mark.parametrize('draw', [random.random, np.random.rand, lambda: torch.rand(()).item()])
def test_all_global_generators_are_watched(draw: Callable[[], float]) -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with pytest.raises(ValueError, match='draws random numbers'):
        check_deterministic([adding(lambda: draw() < 1e-6)], video)
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_a_generator_of_its_own_shows_in_the_results() -> None:
    with pytest.raises(ValueError, match='gives something else each time'):
        check_deterministic([adding(GENERATOR.random)], video)


@pytest.mark.parametrize('ratio', [0, 1])
def test_draws_that_decide_nothing_pass(ratio: int) -> None:
    check_deterministic([TRANSFORMS.build(dict(type='Flip', flip_ratio=ratio))], video)


@pytest.mark.parametrize('number', [lambda: 1, seeded])
def test_what_is_always_the_same_passes(number: Callable[[], float]) -> None:
    check_deterministic([adding(number)], video)
