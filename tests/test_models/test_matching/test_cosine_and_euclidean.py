"""Metrics of mean frames: what the common tests do not say."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.models.matching import CosineMatching, EuclideanMatching

from .episodes import episode


@pytest.mark.parametrize('matching', [CosineMatching(), EuclideanMatching()])
def test_a_hand_made_episode(matching: torch.nn.Module) -> None:
    query = torch.tensor([[[[1.0, 0.0], [3.0, 0.0]]]])  # mean (2, 0)
    support = torch.tensor([[[[[0.0, 1.0]]], [[[2.0, 0.0]]], [[[-1.0, 0.0]]]]])
    expected = [1.0, 0.0, 2.0] if isinstance(matching, CosineMatching) else [5.0, 0.0, 9.0]
    torch.testing.assert_close(matching(query, support), torch.tensor([[expected]]))


def test_euclidean_keeps_its_digits_for_close_videos() -> None:
    query = episode(queries=1, width=256)[0].float()
    near = query[:, :, None] + 1e-3  # a support of one way and one shot
    distance = EuclideanMatching()(query + 100, near + 100)
    torch.testing.assert_close(distance, torch.full((2, 1, 1), 256e-6), rtol=0.05, atol=0)


def test_cosine_does_not_depend_on_scale_and_euclidean_does() -> None:
    query, support = episode()
    torch.testing.assert_close(CosineMatching()(3 * query, support), CosineMatching()(query, support))
    assert not torch.allclose(EuclideanMatching()(3 * query, support), EuclideanMatching()(query, support))
