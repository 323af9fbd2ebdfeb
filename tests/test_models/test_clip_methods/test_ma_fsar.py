"""MA-FSAR's prototype module, head and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava import EpisodeBatch, VideoFeatures
from fsar_llava.models.heads import TextMergingHead
from fsar_llava.models.prototypes import TextGuidedPrototype
from tests.factories import episode_samples, random_features

from .episodes import B, D, K, N, Q, T, episode_features
from .loops import array, cosine, cross_entropy, fusion_layer, otam_distance, perturb, softmax

LOSSES = [
    dict(type='FewShotCrossEntropy', parts=('query_text',), loss_weight=0.15),
    dict(type='SupportTextCrossEntropy', loss_weight=0.15),
    dict(type='FewShotCrossEntropy', parts=('matching',), loss_weight=0.7),
]


def head(**kwargs):
    settings = dict(
        matching=dict(type='OTAM', smoothing=0.5), modulation=dict(type='TextGuidedPrototype', channels=D, num_heads=2)
    )
    settings.update(kwargs)
    return perturb(TextMergingHead(**settings).double())


def test_text_guided_prototype_equals_plain_loops():
    module = perturb(TextGuidedPrototype(D, num_heads=2, ffn_channels=12).double())
    support, query = episode_features()
    new_support, new_query = module(support, query)
    for b in range(B):
        for q in range(Q):
            expected = fusion_layer(module.layer, array(query.visual[b, q]), array(query.visual[b, q]))
            np.testing.assert_allclose(array(new_query.visual[b, q]), expected, rtol=1e-9)
        for n in range(N):
            for k in range(K):
                frames, text = array(support.visual[b, n, k]), array(support.textual[b, n, k, 0])
                expected = fusion_layer(module.layer, [f + text for f in frames], [text, *frames])
                np.testing.assert_allclose(array(new_support.visual[b, n, k]), expected, rtol=1e-9)
    assert torch.equal(new_support.textual, support.textual)


def test_parameters_of_the_prototype_module_and_of_the_whole():
    with torch.device('meta'):
        module = TextGuidedPrototype()
        backbone = MODELS.build(dict(type='MAFSARBackbone', architecture='ViT-B/32'))
    prototype = sum(p.numel() for p in module.parameters())
    tuned = prototype + sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    assert prototype == pytest.approx(3.15e6, rel=0.002)
    assert tuned == pytest.approx(18.5e6, rel=0.01)


def test_scores_equal_plain_loops():
    model, (support, query) = head(text_scale=7.0, text_weight=0.3, temperature=0.4), episode_features()
    scores = model.eval().episode_scores(support, query)
    new_support, new_query = (array(x.visual) for x in model.modulation(support, query))
    for b in range(B):
        texts = [array(support.textual[b, n, 0, 0]) for n in range(N)]
        for q in range(Q):
            video = array(query.visual[b, q]).mean(0)
            text = [7.0 * cosine(video, t) for t in texts]
            distance = np.array(
                [
                    np.mean([otam_distance(new_query[b, q], new_support[b, n, k], 0.5) for k in range(K)])
                    for n in range(N)
                ]
            )
            np.testing.assert_allclose(array(scores.parts['query_text'][b, q]), text, rtol=1e-6)
            np.testing.assert_allclose(array(scores.parts['matching'][b, q]), -distance / 0.4, rtol=1e-5)
            merged = 0.3 * softmax(text) + 0.7 * softmax(-distance / 0.4)
            np.testing.assert_allclose(array(scores.logits[b, q].exp()), merged, rtol=1e-4)
        for n in range(N):
            for k in range(K):
                expected = [7.0 * cosine(array(support.visual[b, n, k]).mean(0), t) for t in texts]
                np.testing.assert_allclose(array(scores.parts['support_text'][b, n * K + k]), expected, rtol=1e-6)


def test_autocast_changes_no_similarity_to_texts():
    model, sides = TextMergingHead(dict(type='OTAM')), [side.float() for side in episode_features()]
    with torch.autocast('cpu', torch.bfloat16):
        found = model.episode_scores(*sides)
    expected = model.episode_scores(*sides)
    assert torch.equal(found.logits, expected.logits)
    assert all(torch.equal(found.parts[name], part) for name, part in expected.parts.items())


@pytest.mark.parametrize('temperature', [None, 3.0, 'frames'])
def test_product_of_probabilities(temperature):
    model = head(merge='product', text_weight=0.9, temperature=0.5, text_scale=2.0, merge_temperature=temperature)
    scores = model.eval().episode_scores(*episode_features())
    distance = -0.5 * array(scores.parts['matching'])
    by = {None: 0.5, 'frames': T}.get(temperature, temperature)
    for b in range(B):
        for q in range(Q):
            text = softmax(array(scores.parts['query_text'][b, q]))
            merged = text**0.9 * softmax((by - distance[b, q]) / by) ** 0.1
            np.testing.assert_allclose(softmax(array(scores.logits[b, q])), merged / merged.sum(), rtol=1e-5)


@pytest.mark.parametrize(('weight', 'part'), [(0, 'matching'), (1, 'query_text')])
def test_the_whole_weight_on_one_side(weight, part):
    scores = head(text_weight=weight).eval().episode_scores(*episode_features())
    torch.testing.assert_close(scores.logits.softmax(-1), scores.parts[part].softmax(-1))


def test_the_three_losses():
    model = TextMergingHead(dict(type='CosineMatching'), losses=LOSSES, text_scale=5.0)
    samples = [*episode_samples(N, K, 1), *episode_samples(N, K, 1, episode_id=1, first_class=3)]
    videos = random_features(len(samples), channels=D)
    losses = model.loss(videos, samples)
    batch = EpisodeBatch.from_samples(samples)
    scores = model.episode_scores(videos[batch.support_index], videos[batch.query_index])
    expected = dict(loss_q2s_query_text=0.0, loss_s2t=0.0, loss_q2s_matching=0.0)
    for b in range(2):
        for q in range(N):
            way = int(batch.query_way[b, q])
            for part in ('query_text', 'matching'):
                expected[f'loss_q2s_{part}'] += cross_entropy(array(scores.parts[part][b, q]), way) / (2 * N)
        for s in range(N * K):
            logits = array(scores.parts['support_text'][b, s])
            expected['loss_s2t'] += cross_entropy(logits, s // K) / (2 * N * K)
    for name, weight in (('loss_q2s_query_text', 0.15), ('loss_s2t', 0.15), ('loss_q2s_matching', 0.7)):
        assert float(losses[name]) == pytest.approx(weight * expected[name], rel=1e-4)
    assert set(losses) == {*expected, 'acc'}


@pytest.mark.parametrize('matching', ['OTAM', 'BiMHM', 'TRX'])
def test_works_with_other_metrics_ways_and_frames(matching):
    extra = dict(in_channels=D, out_channels=6) if matching == 'TRX' else {}
    model = head(matching=dict(type=matching, **extra)).float().eval()
    mask = torch.ones(1, 4, 1, 1, dtype=torch.bool)
    support = VideoFeatures(torch.randn(1, 4, 1, 5, D), torch.randn(1, 4, 1, 1, D), mask)
    assert torch.isfinite(model.score(support, VideoFeatures(torch.randn(1, 7, 5, D)))).all()


def test_padding_of_class_texts_changes_nothing():
    model, (support, query) = head(), episode_features()
    padded = support.replace(
        textual=torch.cat([support.textual, torch.full_like(support.textual, 5)], dim=-2),
        textual_mask=torch.cat([support.textual_mask, torch.zeros_like(support.textual_mask)], dim=-1),
    )
    torch.testing.assert_close(model.modulation(padded, query)[0].visual, model.modulation(support, query)[0].visual)
    torch.testing.assert_close(model.score(padded, query), model.score(support, query))


@pytest.mark.parametrize('fault', ['absent', 'masked', 'equal'])
def test_missing_text_is_named(fault):
    """A backbone without prompts leaves text out or masks it; a prompt without the class says the same of all."""
    support, query = episode_features(text=fault != 'absent')
    if fault == 'masked':
        support.textual_mask[1, 2] = False  # one class of one episode
    if fault == 'equal':
        support = support.replace(textual=support.textual[:, :1].expand_as(support.textual))
    with pytest.raises(ValueError, match='needs the class texts'):
        TextMergingHead(dict(type='OTAM')).episode_scores(support, query)
    with pytest.raises(ValueError, match='needs the class texts'):
        TextGuidedPrototype(D)(support, query)


@pytest.mark.parametrize(
    'arguments',
    [
        dict(merge='sum'),
        dict(text_weight=1.5),
        dict(merge_temperature=2.0),
        dict(merge='product', merge_temperature='T'),
        dict(merge='product', merge_temperature=0),
        dict(merge='product', merge_temperature=-2.0),
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match='TextMergingHead: m'):
        TextMergingHead(dict(type='OTAM'), **arguments)


def test_support_loss_needs_its_part():
    model = MODELS.build(dict(type='PrototypeHead', matching=dict(type='OTAM'), losses=LOSSES[1]))
    samples = episode_samples()
    with pytest.raises(KeyError, match='support_text'):
        model.loss(random_features(len(samples)), samples)
