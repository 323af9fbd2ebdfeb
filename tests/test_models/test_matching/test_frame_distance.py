"""The cosine distance between frames."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.models.layers.frame_distance import describe_frames, frame_distance

from . import oracles
from .episodes import episode


@pytest.mark.parametrize('eps', [0.0, 0.01])
def test_equals_plain_loops(eps: float) -> None:
    query, support = episode(shots=2, frames=(3, 5))
    distance = frame_distance(describe_frames(query), describe_frames(support), eps=eps)
    assert distance.shape == (2, 3, 4, 2, 3, 5)
    expected = oracles.frame_distances(query[1, 2].tolist(), support[1, 3, 1].tolist(), eps)
    torch.testing.assert_close(distance[1, 2, 3, 1], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize('eps', [0.0, 0.01])
@pytest.mark.parametrize('scale', [0.0, 1e-20, 1e-6, 1e6])
def test_vectors_of_any_length_are_safe(eps: float, scale: float) -> None:
    query, support = (tokens.float() for tokens in episode(seed=3))
    query *= scale
    query.requires_grad_(), support.requires_grad_()
    distance = frame_distance(describe_frames(query), describe_frames(support), eps=eps)
    distance.sum().backward()
    assert -1e-5 <= distance.min() <= distance.max() <= 2 + 1e-5
    assert query.grad.isfinite().all()
    assert support.grad.isfinite().all()
    if scale < 1e-12:  # no direction: as far from everything as orthogonal vectors, and nowhere to go
        assert (distance == 1).all()
        assert not query.grad.any()
        assert not support.grad.any()
