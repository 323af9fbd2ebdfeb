"""Bi-MHM: reference numbers, sets instead of sequences."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.models.matching import BiMHM

from . import oracles
from .episodes import episode


@pytest.mark.parametrize(('reduction', 'expected'), [('sum', 1.8), ('mean', 0.6)])
def test_reference_numbers_of_the_oracle(reduction: str, expected: float) -> None:
    ramp = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
    assert oracles.bi_mhm_matrix(ramp, reduction) == pytest.approx(expected)


@pytest.mark.parametrize(('reduction', 'expected'), [('sum', 1.8), ('mean', 0.6)])
def test_reference_numbers(reduction: str, expected: float) -> None:
    """Unit vectors with given cosines: the identity against their columns, filled up to norm 1."""
    distance = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]], dtype=torch.float64) / 2 + 0.5
    cosine = 1 - distance
    rest = (1 - cosine.square().sum(0)).sqrt()
    query = torch.eye(3, 4, dtype=torch.float64)
    support = torch.cat((cosine, rest[None])).T
    result = BiMHM(reduction)(query[None, None], support[None, None, None]).item()
    # Distances are halved and shifted: the metric is linear in both as long as the minima stay where they are.
    assert result == pytest.approx(expected / 2 + (3.0 if reduction == 'sum' else 1.0))


def test_reference_episode() -> None:
    """Two ways of two shots and two queries, compared with logits of public code, exact cosine."""
    support = torch.sin(0.37 * torch.arange(48, dtype=torch.float64)).view(4, 3, 4)
    query = torch.cos(0.481 * torch.arange(24, dtype=torch.float64)).view(1, 2, 3, 4)
    by_way = torch.stack((support[[1, 2]], support[[0, 3]]))[None]
    expected = [[1.0140500350734523, 1.4023997414270428], [1.6438281229863314, 1.058083030839298]]
    torch.testing.assert_close(BiMHM()(query, by_way)[0], torch.tensor(expected, dtype=torch.float64))


def test_order_does_not_matter() -> None:
    query, support = episode(frames=(4, 6))
    shuffled = support[..., torch.tensor([3, 1, 5, 0, 4, 2]), :]
    torch.testing.assert_close(BiMHM()(query, shuffled), BiMHM()(query.flip(-2), support))
    assert not BiMHM.ordered


def test_mean_does_not_depend_on_repeated_frames() -> None:
    query, support = episode()
    matching = BiMHM('mean')
    torch.testing.assert_close(
        matching(query.repeat_interleave(3, -2), support), matching(query, support.repeat_interleave(2, -2))
    )
    assert not torch.allclose(BiMHM()(query.repeat_interleave(3, -2), support), BiMHM()(query, support))


def test_a_video_is_at_distance_zero_from_itself() -> None:
    query, support = episode(ways=3)
    support[:, :, 0] = query
    distance = BiMHM()(query, support)
    torch.testing.assert_close(distance.diagonal(dim1=-2, dim2=-1), torch.zeros(2, 3, dtype=torch.float64))
    assert distance.argmin(-1).tolist() == [[0, 1, 2]] * 2
