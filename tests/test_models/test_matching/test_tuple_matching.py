"""Tuples of frames as they are: plain loops, masks, feature bank, fusion with text."""

from __future__ import annotations

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.models.matching import TRX, TupleMatching
from fsar_llava.models.matching.tuples import PAIRS

from . import oracles
from .episodes import episode, random_mask


def expected(
    cardinalities: tuple[int, ...], query: Tensor, support: Tensor, masks: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """``[B, Q, N]`` by loops: TRX whose projections are the identity."""
    result = torch.zeros(query.shape[0], query.shape[1], support.shape[1], dtype=torch.float64)
    for b, q, n in torch.cartesian_prod(*(torch.arange(size) for size in result.shape)).tolist():
        video = oracles.valid(query[b, q], None if masks is None else masks[0][b, q])
        shots = [
            oracles.valid(shot, None if masks is None else masks[1][b, n, k]) for k, shot in enumerate(support[b, n])
        ]
        for size in cardinalities:
            width = size * query.shape[-1]
            ones, zeros = torch.ones(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
            identity = (torch.eye(width, dtype=torch.float64), zeros)
            distance = oracles.trx(video, shots, cardinality=size, key=identity, value=identity, norm=(ones, zeros))
            result[b, q, n] += distance / len(cardinalities)
    return result


@pytest.mark.parametrize('cardinalities', [(2,), (3,), (1,), (2, 3), (4, 1, 2)])
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('frames', [(5, 5), (4, 6)])
def test_equals_plain_loops(cardinalities: tuple[int, ...], shots: int, frames: tuple[int, int]) -> None:
    query, support = episode(shots=shots, frames=frames, queries=2, ways=3)
    torch.testing.assert_close(TupleMatching(cardinalities)(query, support), expected(cardinalities, query, support))


def test_tuples_with_a_masked_frame_are_dropped() -> None:
    query, support = episode(shots=2, frames=(5, 6))
    masks = random_mask(query, least=3), random_mask(support, least=3, seed=1)
    oracle = expected((2, 3), query, support, masks)
    query[~masks[0]], support[~masks[1]] = float('nan'), float('inf')
    torch.testing.assert_close(TupleMatching()(query, support, *masks), oracle)


def test_equals_trx_without_projections() -> None:
    query, support = episode(shots=2)
    trx = TRX(6, (2,), out_channels=12, position_scale=0).double().eval()
    with torch.no_grad():
        for linear in (trx.projections['2'].key, trx.projections['2'].value):
            torch.nn.init.eye_(linear.weight)
            linear.bias.zero_()
    torch.testing.assert_close(TupleMatching((2,))(query, support), trx(query, support))


@pytest.mark.parametrize('offset', [0, 3])
def test_single_precision_keeps_its_digits(offset: float) -> None:
    query, support = (tokens + offset for tokens in episode(width=64, frames=(8, 8), shots=2))
    exact = expected((2, 3), query[:1, :1], support[:1])
    found = TupleMatching()(query[:1, :1].float(), support[:1].float())
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize('pairs', [1, 25 * 3 * 4 * 2, 10**9])
def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    query, support = episode(batch=5, shots=2)
    whole = expected((1,), query, support)
    monkeypatch.setitem(PAIRS, 'cpu', 2 * pairs)
    torch.testing.assert_close(TupleMatching((1,))(query, support), whole)


def test_order_matters() -> None:
    query, support = episode()
    matching = TupleMatching()
    assert matching.ordered
    assert not list(matching.parameters())
    assert not torch.allclose(matching(query, support), matching(query.flip(-2), support))
    singles = TupleMatching((1,))
    torch.testing.assert_close(singles(query, support), singles(query.flip(-2), support))


@pytest.mark.parametrize('fusion', ['visual', 'textual', 'mean'])
def test_within_both_modalities(fusion: str) -> None:
    (query, support), (words, class_words) = episode(shots=2), episode(shots=2, frames=(4, 6), seed=3)
    masks = random_mask(words, least=3, prefix=True), random_mask(class_words, least=3, prefix=True, seed=1)
    matching = MODELS.build(dict(type='MultimodalMatching', matching=dict(type='TupleMatching'), fusion=fusion))
    distance = matching(VideoFeatures(query, words, masks[0]), VideoFeatures(support, class_words, masks[1]))
    visual, textual = expected((2, 3), query, support), expected((2, 3), words, class_words, masks)
    torch.testing.assert_close(distance, dict(visual=visual, textual=textual, mean=(visual + textual) / 2)[fusion])


def test_from_a_feature_bank() -> None:
    bank = episode(batch=9, queries=1, ways=1)[0][:, 0].float()
    head = MODELS.build(dict(type='PrototypeHead', matching=dict(type='TupleMatching'), temperature=2.0))
    query, support = torch.tensor([[0, 1], [2, 0]]), torch.tensor([[[3, 4], [5, 6]], [[8, 3], [1, 4]]])
    scorer = EpisodeScorer(head, VideoFeatures(bank))
    assert scorer._prepared is not None
    torch.testing.assert_close(
        scorer._score(support, query).double(),
        expected((2, 3), bank[query], bank[support]) / -2,
        rtol=1e-4,
        atol=1e-4,
    )


def test_refuses_wrong_videos() -> None:
    with pytest.raises(ValueError, match=r'a video has 9 frames, more than num_frames=8\. Raise num_frames'):
        TupleMatching(num_frames=8)(*episode(frames=(5, 9)))
    with pytest.raises(ValueError, match=r'at least 3 valid frame\(s\), but one of the videos .* has 2'):
        TupleMatching()(*episode(frames=(2, 5)))
