"""OTAM: reference numbers of the published recurrence, extremes, order."""

from __future__ import annotations

import functools

import pytest
import torch

from fsar_llava.models.matching import OTAM
from fsar_llava.models.matching.alignment import alignment_cost, sums_fit, weighted_alignment_cost

from . import oracles
from .episodes import episode

RAMP = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]

# Made in float32 with the field's cell-by-cell recurrence, outside this project: (distances, lambda 0.1, lambda 0.5).
ONE_DIRECTION = {
    'zeros': ([[0, 0], [0, 0]], -0.179175958, -0.8958797455),
    'ones': ([[1, 1], [1, 1]], 1.8390552998, 1.1819274426),
    'diagonal': ([[0, 1], [1, 0]], -2.27068e-05, -0.2584067583),
    'ramp': (RAMP, 0.5255563259, -0.2321975082),
    'ramp transposed': ([list(column) for column in zip(*RAMP)], 1.0788930655, -0.0464286692),
    'constant 8 x 8': ([[0.5] * 8] * 8, 3.2503497601, 0.1072482765),
}


@pytest.mark.parametrize('name', ONE_DIRECTION)
def test_reference_numbers(name: str) -> None:
    distance, *expected = ONE_DIRECTION[name]
    for smoothing, value in zip((0.1, 0.5), expected):
        cost = alignment_cost(torch.tensor(distance, dtype=torch.float64), smoothing=smoothing)
        assert float(cost) == pytest.approx(value, abs=1e-6)
        assert oracles.otam_matrix(distance, smoothing) == pytest.approx(value, abs=1e-6)


def test_reference_episode() -> None:
    """Two ways of two shots and two queries, compared with logits of the public recurrence, eps 0.01."""
    support = torch.sin(0.37 * torch.arange(48, dtype=torch.float64)).view(4, 3, 4)
    query = torch.cos(0.481 * torch.arange(24, dtype=torch.float64)).view(1, 2, 3, 4)
    by_way = torch.stack((support[[1, 2]], support[[0, 3]]))[None]
    expected = [[2.469494613142542, 1.731158988950643], [3.382874487801162, 1.043884030350366]]
    torch.testing.assert_close(OTAM(0.1, eps=0.01)(query, by_way)[0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize('shape', [(1, 1), (1, 5), (5, 1), (2, 7), (9, 4), (12, 12)])
@pytest.mark.parametrize('smoothing', [0.02, 0.1, 1.0])
def test_cost_equals_plain_loops(shape: tuple[int, int], smoothing: float) -> None:
    distance = 2 * torch.rand(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [oracles.otam_matrix(distance[..., index].tolist(), smoothing) for index in range(3)]
    torch.testing.assert_close(
        alignment_cost(distance, smoothing=smoothing), torch.tensor(expected, dtype=torch.float64)
    )


@pytest.mark.parametrize('shape', [(1, 4), (4, 1), (4, 4), (5, 3)])
def test_cost_gradients(shape: tuple[int, int]) -> None:
    distance = 2 * torch.rand(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda d: alignment_cost(d, smoothing=0.1), distance.requires_grad_())


KINDS = ['far', 'near', 'random', 'blocks', 'last']


def distances(kind: str, rows: int, columns: int) -> torch.Tensor:
    """``[rows, columns]`` in float32, from 0 to 2: such as are easy to get wrong."""
    distance = torch.zeros(rows, columns)
    if kind == 'far':
        distance += 2
    elif kind == 'random':
        distance = 2 * torch.rand(rows, columns, generator=torch.Generator().manual_seed(0))
    elif kind == 'blocks':  # rows that are worst in the first half of the columns are best in the second
        distance[: rows // 2, : columns // 2] = distance[rows // 2 :, columns // 2 :] = 2
    elif kind == 'last':  # one cell is free, the end of the first row
        distance += 2
        distance[0, -1] = 0
    return distance


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('frames', [12, 64])
def test_long_videos_stay_exact(kind: str, frames: int) -> None:
    """At lambda 0.1, ``exp(-cost / lambda)`` of these leaves the range of float32, and of float64 at 64 frames."""
    distance = distances(kind, frames, frames).requires_grad_()
    cost = alignment_cost(distance, smoothing=0.1)
    expected = oracles.otam_matrix(distance.tolist(), 0.1)
    assert float(cost.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-4)
    cost.backward()
    assert distance.grad.isfinite().all()
    # The gradient is how often the soft alignment visits a cell: every column once, but the first, where it may wait.
    torch.testing.assert_close(distance.grad.sum(0)[1:], torch.ones(frames - 1), rtol=1e-3, atol=1e-3)
    assert distance.grad[:, 0].sum() > 0.999


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    ('rows', 'columns', 'smoothing', 'dtype'),
    [
        (8, 8, 0.1, torch.float32),  # the longest that fit
        (35, 35, 0.5, torch.float32),
        (1, 1, 0.012, torch.float32),
        (67, 67, 0.1, torch.float64),
        (1, 8, 0.1, torch.float32),
        (35, 4, 0.1, torch.float32),
        (3, 36, 0.5, torch.float32),
    ],
)
def test_sums_of_exponentials_stay_exact(
    kind: str, rows: int, columns: int, smoothing: float, dtype: torch.dtype
) -> None:
    assert sums_fit(rows, columns, dtype, smoothing=smoothing)
    distance = distances(kind, rows, columns).to(dtype)
    cost = weighted_alignment_cost(((1 - distance) / smoothing).exp(), smoothing=smoothing)
    expected = oracles.otam_matrix(distance.tolist(), smoothing)
    torch.testing.assert_close(cost, torch.tensor(expected, dtype=dtype), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(('frames', 'smoothing'), [(9, 0.1), (36, 0.5), (2, 0.01), (1, 0.01)])
def test_sums_of_exponentials_that_do_not_fit(frames: int, smoothing: float) -> None:
    assert not sums_fit(frames, frames, torch.float32, smoothing=smoothing)


@pytest.mark.parametrize('bidirectional', [True, False])
@pytest.mark.parametrize('frames', [(8, 8), (8, 3), (2, 8), (8, 9), (16, 8), (32, 32)])
@pytest.mark.parametrize('smoothing', [0.01, 0.1, 0.5])
def test_with_and_without_gradients(smoothing: float, frames: tuple[int, int], bidirectional: bool) -> None:
    """Two ways of computing, one result: that of plain loops in float64."""
    query, support = (tokens.float() for tokens in episode(batch=1, queries=1, ways=2, frames=frames))
    matching = OTAM(smoothing, bidirectional=bidirectional)
    expected = oracles.over_episodes(
        functools.partial(oracles.otam, smoothing=smoothing, bidirectional=bidirectional),
        query.double(),
        support.double(),
    )
    for differentiable in (True, False):
        distance = matching(query.requires_grad_(differentiable), support)
        torch.testing.assert_close(distance.double(), expected, rtol=1e-5, atol=1e-4)


def test_opposite_long_videos_have_finite_distances_and_gradients() -> None:
    query = torch.ones(1, 1, 64, 4, requires_grad=True)
    support = -torch.ones(1, 2, 1, 64, 4)
    support[:, 1] = 1
    support.requires_grad_()
    distance = OTAM(0.1)(query, support)
    distance.sum().backward()
    assert distance[0, 0, 0] > 200 > 0 > distance[0, 0, 1] > -40
    assert query.grad.isfinite().all()
    assert support.grad.isfinite().all()


def test_order_matters() -> None:
    query, support = episode(batch=1, queries=1, ways=1, frames=(6, 6), width=16)
    support = support.clone()
    support[0, 0, 0] = query[0, 0]
    matching = OTAM()
    assert matching.ordered
    assert matching(query, support).item() < matching(query, support.flip(-2)).item() - 1


def test_directions_add_up() -> None:
    query, support = episode(queries=1, ways=1, frames=(4, 6))
    one = OTAM(bidirectional=False)
    there, back = one(query, support), one(support[:, 0], query[:, :, None])
    torch.testing.assert_close(OTAM()(query, support), there + back)
    assert not torch.allclose(there, back)


def test_towards_zero_smoothing_gives_the_cheapest_path() -> None:
    distance = torch.tensor(RAMP, dtype=torch.float64)
    # First row throughout: 0.1 + 0.2 + 0.3.
    assert float(alignment_cost(distance, smoothing=1e-4)) == pytest.approx(0.6, abs=1e-3)
