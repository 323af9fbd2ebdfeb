"""The cosine distance between frames."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.models.layers import frame_distance as layer
from fsar_llava.models.layers.frame_distance import describe_frames, frame_distance
from fsar_llava.structures import BankRows

from . import oracles
from .episodes import episode


@pytest.mark.parametrize('width', [6, 128], ids=['plain', 'padded'])
@pytest.mark.parametrize('eps', [0.0, 0.01])
def test_equals_plain_loops(eps: float, width: int) -> None:
    query, support = episode(shots=2, frames=(3, 5), width=width)
    distance = frame_distance(describe_frames(query), describe_frames(support), eps=eps)
    assert distance.shape == (2, 3, 4, 2, 3, 5)
    expected = oracles.frame_distances(query[1, 2].tolist(), support[1, 3, 1].tolist(), eps)
    torch.testing.assert_close(distance[1, 2, 3, 1], torch.tensor(expected, dtype=torch.float64))


def test_frames_do_not_lie_a_multiple_of_1024_bytes_apart() -> None:
    """They would compete for the same lines of a CPU's cache."""
    direction = describe_frames(torch.rand(2, 8, 512))['direction']
    assert direction.is_contiguous()
    assert direction.stride(-2) * direction.element_size() % 1024
    assert not direction[..., 512:].any()
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(2, 8))


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


@pytest.mark.parametrize(('threads', 'at_a_time', 'portions'), [(1, 1, 5), (1, 2, 3), (2, 1, 3), (2, 2, 2), (3, 2, 1)])
def test_frames_of_a_bank_are_gathered_in_portions(
    monkeypatch: pytest.MonkeyPatch, threads: int, at_a_time: int, portions: int
) -> None:
    """Of the five episodes, each thread takes as many at a time as its cache holds; the last portion may be smaller."""
    bank = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.randint(6, (5, 3 + 2 * 2), generator=torch.Generator().manual_seed(0))
    asking, answering = rows[:, :3], rows[:, 3:].view(5, 2, 2)
    expected = frame_distance(describe_frames(bank[asking]), describe_frames(bank[answering]), eps=0.1)
    assert expected.shape == (5, 3, 2, 2, 4, 4)
    described = describe_frames(bank)
    videos = [BankRows(described, index) for index in (asking, answering)]
    monkeypatch.setattr(layer, 'GATHERED_BYTES', at_a_time * rows.shape[1] * described['direction'][0].nbytes)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    gathered, index_select = [], torch.index_select
    monkeypatch.setattr(
        torch, 'index_select', lambda *args, **kwargs: gathered.append(args[2]) or index_select(*args, **kwargs)
    )
    with torch.no_grad():
        torch.testing.assert_close(frame_distance(*videos, eps=0.1), expected)
    assert len(gathered) == portions
    assert torch.equal(torch.cat(gathered), rows.flatten())


@pytest.mark.parametrize('grad', [True, False])
def test_sides_of_a_bank_are_compared_with_any_others(*, grad: bool) -> None:
    """Queries and supports of different banks, the latter with more frames; and one side without a bank."""
    query, support = (torch.randn(6, frames, 3, generator=torch.Generator().manual_seed(frames)) for frames in (2, 4))
    rows = torch.randint(6, (5, 3 + 2 * 2), generator=torch.Generator().manual_seed(0))
    asking, answering = rows[:, :3], rows[:, 3:].view(5, 2, 2)
    expected = frame_distance(describe_frames(query[asking]), describe_frames(support[answering]))
    videos = BankRows(describe_frames(query), asking), BankRows(describe_frames(support), answering)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(frame_distance(*videos), expected)
        torch.testing.assert_close(frame_distance(videos[0], describe_frames(support[answering])), expected)


def test_no_episodes_have_no_distances() -> None:
    described = describe_frames(torch.rand(6, 4, 3))
    none = torch.zeros(0, 3, dtype=torch.long)
    with torch.no_grad():
        distance = frame_distance(BankRows(described, none), BankRows(described, none[..., None]))
    assert distance.shape == (0, 3, 3, 1, 4, 4)
