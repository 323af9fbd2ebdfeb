"""Refuses pipelines whose features could not be shared between episodes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

TRIALS = 4


def check_deterministic(transforms: Sequence[Callable], data_info: Callable[[], dict]) -> None:
    """Run one video several times under different random states and compare what every transform makes of it.

    Args:
        transforms: The pipeline's.
        data_info: Gives a new dict of what the pipeline starts from.

    Raises:
        ValueError: If a transform is random; it is named.
    """
    for transform in transforms:
        if getattr(transform, 'test_mode', True) is False:
            raise _random(transform, 'gives something else each time, because its test_mode is False')
    runs: list = [data_info() for _ in range(TRIALS)]
    for transform in transforms:
        begins, ends = [], []
        for trial in range(TRIALS):
            with _random_state(trial):
                begins.append(_states())
                runs[trial] = transform(runs[trial])
                ends.append(_states())
        # What happens to one video in ten would seldom show in the results.
        if not _certain(transform) and any(map(_draws, zip(*begins), zip(*ends))):
            raise _random(transform, 'draws random numbers')
        if not all(_same(runs[0], run) for run in runs[1:]):
            raise _random(transform, 'gives something else each time')


def _random(transform: Callable, why: str) -> ValueError:
    return ValueError(
        f'The pipeline is random: {transform} {why}. A video that is encoded once for all its episodes needs a test '
        'pipeline: test_mode=True for sampling, a centre crop, no flips, no jitter.'
    )


@contextmanager
def _random_state(seed: int) -> Iterator[None]:
    """The three global generators at a seed, and afterwards as they were."""
    states = _states()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs too
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _certain(transform: Callable) -> bool:
    """Whether its probability is 0 or 1: what it draws decides nothing."""
    return any(getattr(transform, name, None) in (0, 1) for name in ('flip_ratio', 'erase_prob'))


def _draws(begins: Sequence, ends: Sequence) -> bool:
    """Whether a generator's states tell of draws; who seeds it anew each time leaves it in one state, and may draw."""
    return not all(map(_same, begins, ends)) and not all(_same(ends[0], end) for end in ends[1:])


def _same(one: object, other: object) -> bool:
    """Whether two results agree; objects that cannot be compared, such as video readers, count as equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (str, int, float, bool, np.generic)):
        return one == other
    return True
