"""HyRSM's hybrid relation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.prototypes import HybridRelation
from tests.test_models.test_layers.loops import attention

from .episodes import B, D, K, N, Q, T, episode_features
from .loops import array, bi_mhm_distance, perturb


@pytest.mark.parametrize('relu', [True, False])
def test_equals_plain_loops(relu):
    module = perturb(HybridRelation(D, num_heads=2, num_frames=T, relu=relu).double())
    support, query = episode_features()
    new_support, new_query = module(support, query)
    weight, position = array(module.merge.weight), array(module.position.embedding)

    def activate(tokens):
        return [np.maximum(x, 0) if relu else x for x in tokens]

    def relate_frames(frames):
        return activate(attention(module.temporal, list(array(frames)), position=position))

    for b, q in np.ndindex(B, Q):
        classes = [np.mean([relate_frames(support.visual[b, n, k]) for k in range(K)], axis=0) for n in range(N)]
        video = relate_frames(query.visual[b, q])
        task = [np.mean(frames, axis=0) for frames in [*classes, video]]
        task = activate(attention(module.relation, task))
        for n, t in np.ndindex(N, T):
            expected = weight @ np.concatenate([classes[n][t], task[n]])
            np.testing.assert_allclose(array(new_support.visual[b, q, n, 0, t]), expected, rtol=1e-7, atol=1e-9)
        for t in range(T):
            expected = weight @ np.concatenate([video[t], task[-1]])
            np.testing.assert_allclose(array(new_query.visual[b, q, t]), expected, rtol=1e-7, atol=1e-9)


def test_starts_as_bi_mhm_on_features_that_are_not_negative():
    model = MODELS.build(
        dict(
            type='PrototypeHead',
            matching=dict(type='BiMHM', reduction='sum'),
            modulation=dict(type='HybridRelation', channels=D, num_heads=2, num_frames=T),
        )
    ).double()
    with torch.no_grad():
        model.modulation.position.embedding.zero_()
    support, query = (x.replace(visual=x.visual.abs()) for x in episode_features(text=False))
    logits = model.score(support, query)
    for b, q, n in np.ndindex(B, Q, N):
        prototype = array(support.visual[b, n]).mean(0)
        expected = -bi_mhm_distance(array(query.visual[b, q]), prototype)
        assert float(logits[b, q, n].detach()) == pytest.approx(expected, rel=1e-5)


def test_other_numbers_of_frames():
    module = HybridRelation(D, num_heads=2, num_frames=8).double()
    support, query = module(*episode_features(shape=(1, 5, 1, 3, 4, D)))
    assert support.visual.shape == (1, 3, 5, 1, 4, D)
    assert query.visual.shape == (1, 3, 4, D)
