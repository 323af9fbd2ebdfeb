"""Fusion of visual and textual distances, each rule against one written by hand."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava import VideoFeatures
from fsar_llava.models.matching import MultimodalMatching

from . import oracles
from .episodes import episode, random_mask

MEAN = functools.partial(oracles.bi_mhm, reduction='mean')


def features(conditioned: bool = False) -> tuple[VideoFeatures, VideoFeatures]:
    visual = episode(shots=2, frames=(4, 5), conditioned=conditioned, seed=1)
    textual = episode(shots=2, frames=(3, 6), conditioned=conditioned, seed=2)
    masks = [random_mask(tokens, prefix=True) for tokens in textual]
    return tuple(VideoFeatures(*parts) for parts in zip(visual, textual, masks))


def by_loops(query: VideoFeatures, support: VideoFeatures) -> tuple[Tensor, Tensor]:
    visual = oracles.over_episodes(MEAN, query.visual, support.visual)
    textual = oracles.over_episodes(MEAN, query.textual, support.textual, query.textual_mask, support.textual_mask)
    return visual, textual


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def confidence(distances: list[float], temperature: float) -> float:
    best = sorted(softmax([-distance / temperature for distance in distances]), reverse=True)
    return best[0] - best[1]


def fuse_by_hand(fusion: str, visual: list[float], textual: list[float], tau: float, tau_w: float) -> list[float]:
    """One query, lists over classes."""
    confidences = [confidence(distances, tau) for distances in (visual, textual)]
    weights = {
        'confidence': softmax([value / tau_w for value in confidences]),
        'hard': [1.0, 0.0] if confidences[0] >= confidences[1] else [0.0, 1.0],
        'mean': [0.5, 0.5],
        'visual': [1.0, 0.0],
        'textual': [0.0, 1.0],
    }[fusion]
    return [weights[0] * v + weights[1] * t for v, t in zip(visual, textual)]


@pytest.mark.parametrize('conditioned', [False, True])
@pytest.mark.parametrize('fusion', ['confidence', 'hard', 'mean', 'visual', 'textual'])
def test_fusion_equals_the_rule_by_hand(fusion: str, conditioned: bool) -> None:
    query, support = features(conditioned)
    visual, textual = by_loops(query, support)
    expected = [
        [fuse_by_hand(fusion, v, t, 0.2, 0.3) for v, t in zip(*rows)] for rows in zip(visual.tolist(), textual.tolist())
    ]
    matching = MultimodalMatching(fusion=fusion, temperature=0.2, fusion_temperature=0.3)
    torch.testing.assert_close(matching(query, support), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize('conditioned', [False, True])
def test_union_is_one_distance_between_united_token_sets(conditioned: bool) -> None:
    query, support = features(conditioned)
    tokens, masks = [], []
    for side in (query, support):
        tokens.append(torch.cat((side.visual, side.textual), -2))
        masks.append(torch.cat((torch.ones_like(side.visual[..., 0]).bool(), side.textual_mask), -1))
    expected = oracles.over_episodes(MEAN, *tokens, *masks)
    torch.testing.assert_close(MultimodalMatching(fusion='union')(query, support), expected)


def test_hard_takes_each_modality_for_some_query() -> None:
    query, support = features()
    visual, textual = by_loops(query, support)
    fused = MultimodalMatching(fusion='hard')(query, support)
    from_visual, from_textual = ((fused - part).abs().amax(-1) < 1e-9 for part in (visual, textual))
    assert (from_visual ^ from_textual).all()
    assert from_visual.any()
    assert from_textual.any()


def test_hard_and_mean_are_limits_of_confidence() -> None:
    query, support = features()
    limits = {
        limit: MultimodalMatching(fusion_temperature=temperature)(query, support)
        for limit, temperature in (('hard', 1e-6), ('mean', 1e6))
    }
    for fusion, distance in limits.items():
        torch.testing.assert_close(distance, MultimodalMatching(fusion=fusion)(query, support), rtol=1e-5, atol=1e-5)


def test_weights_are_constants_for_the_gradient() -> None:
    stacked = torch.rand(2, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    matching = MultimodalMatching()
    weights = matching.weights(stacked)
    assert not weights.requires_grad
    assert weights.shape == (2, 1, 3, 1)
    matching.fuse(dict(visual=stacked[0], textual=stacked[1])).sum().backward()
    torch.testing.assert_close(stacked.grad, weights.expand_as(stacked))


@pytest.mark.parametrize('fusion', ['confidence', 'hard', 'mean'])
def test_a_single_way_gives_even_weights(fusion: str) -> None:
    weights = MultimodalMatching(fusion=fusion).weights(torch.rand(2, 1, 3, 1))
    assert weights[:, 0, 0, 0].tolist() == ([1, 0] if fusion == 'hard' else [0.5, 0.5])


@pytest.mark.parametrize(
    ('fusion', 'names'),
    [
        ('confidence', ['visual', 'textual']),
        ('hard', ['visual', 'textual']),
        ('mean', ['visual', 'textual']),
        ('union', ['union']),
        ('visual', ['visual']),
        ('textual', ['textual']),
    ],
)
def test_distances_by_name(fusion: str, names: list[str]) -> None:
    query, support = features()
    matching = MultimodalMatching(fusion=fusion)
    distances = matching.distances(query, support)
    assert list(distances) == names
    torch.testing.assert_close(matching.fuse(distances), matching(query, support), rtol=0, atol=0)


def test_visual_needs_no_text() -> None:
    query, support = features()
    matching = MultimodalMatching(fusion='visual')
    bare = matching(VideoFeatures(query.visual), VideoFeatures(support.visual))
    torch.testing.assert_close(bare, matching(query, support), rtol=0, atol=0)


def test_other_metrics_and_registry() -> None:
    query, support = features()
    matching = MODELS.build(dict(type='MultimodalMatching', matching=dict(type='OTAM'), fusion='textual'))
    assert matching.multimodal
    expected = oracles.over_episodes(
        oracles.otam, query.textual, support.textual, query.textual_mask, support.textual_mask
    )
    torch.testing.assert_close(matching(query, support), expected)


def test_permuting_ways_permutes_distances() -> None:
    query, support = features()
    order = torch.tensor([3, 1, 0, 2])
    for fusion in ('confidence', 'hard', 'union'):
        matching = MultimodalMatching(fusion=fusion)
        permuted = matching(query, support.map(lambda tensor: tensor[:, order]))
        torch.testing.assert_close(permuted, matching(query, support)[..., order])


def test_has_no_parameters() -> None:
    assert not list(MultimodalMatching().parameters())
    assert not MultimodalMatching().state_dict()


def test_gradients_are_finite_in_half_precision() -> None:
    query, support = (
        side.replace(visual=side.visual.bfloat16().requires_grad_(), textual=side.textual.bfloat16().requires_grad_())
        for side in features()
    )
    distance = MultimodalMatching()(query, support)
    assert distance.dtype == torch.float32
    distance.sum().backward()
    for tokens in (query.visual, query.textual, support.visual, support.textual):
        assert tokens.grad.isfinite().all()
        assert tokens.grad.any()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(fusion='best'), "fusion must be one of confidence, hard, .*, but is 'best'"),
        (dict(temperature=0), 'temperature must be positive, but is 0'),
        (dict(fusion_temperature=-1), 'fusion_temperature must be positive, but is -1'),
        (dict(fusion='union', matching=dict(type='OTAM')), "OTAM depends on the order of tokens, .*fusion='union'"),
        (dict(matching=dict(type='MultimodalMatching')), 'MultimodalMatching takes both modalities itself'),
    ],
)
def test_refuses_settings(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultimodalMatching(**kwargs)


def test_refuses_features_without_text_and_tensors() -> None:
    query, support = features()
    with pytest.raises(ValueError, match="fusion='confidence' needs textual features, but support has none"):
        MultimodalMatching()(query, VideoFeatures(support.visual))
    query.textual_mask[0, 1] = False  # as of a video without a prompt
    with pytest.raises(ValueError, match=r'at least 1 valid .* has 0\. .* if these are words, give every video'):
        MultimodalMatching()(query, support)
    with pytest.raises(TypeError, match='takes VideoFeatures, but query is a Tensor'):
        MultimodalMatching()(query.visual, support)
