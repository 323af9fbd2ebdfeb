"""CLIP-FSAR's modulation; its merged prediction is tested with MA-FSAR's."""

from __future__ import annotations

import numpy as np
import torch

from fsar_llava import VideoFeatures
from fsar_llava.models.prototypes import TextModulation

from .episodes import B, D, K, N, Q, episode_features
from .loops import array, fusion_layer, perturb


def modulation(**kwargs):
    torch.manual_seed(0)
    return perturb(TextModulation(D, num_heads=2, ffn_channels=12, **kwargs).double()).eval()


def test_equals_plain_loops():
    module, (support, query) = modulation(), episode_features()
    new_support, new_query = module(support, query)
    for b, n, k in np.ndindex(B, N, K):
        tokens = [*array(support.visual[b, n, k]), array(support.textual[b, n, k, 0])]
        expected = fusion_layer(module.layer, tokens, tokens)[:-1]
        np.testing.assert_allclose(array(new_support.visual[b, n, k]), expected, rtol=1e-9)
    for b, q in np.ndindex(B, Q):
        frames = list(array(query.visual[b, q]))
        np.testing.assert_allclose(array(new_query.visual[b, q]), fusion_layer(module.layer, frames, frames), rtol=1e-9)
    assert new_support.textual is support.textual


def test_text_of_queries_is_read_on_request_only():
    support, query = episode_features()
    query = VideoFeatures(query.visual, torch.randn(B, Q, 2, D).double(), torch.tensor([True, False]).expand(B, Q, 2))
    blind = modulation()(support, query)[1].visual
    torch.testing.assert_close(blind, modulation()(support, VideoFeatures(query.visual))[1].visual)
    reading = modulation(query_text=True)
    assert not torch.allclose(reading(support, query)[1].visual, blind)
    # Padded tokens are not read, whatever they are.
    spoiled = query.textual.clone()
    spoiled[..., 1, :] = float('nan')
    torch.testing.assert_close(
        reading(support, query.replace(textual=spoiled))[1].visual, reading(support, query)[1].visual
    )


def test_padding_of_texts_changes_nothing():
    module, (support, query) = modulation(query_text=True), episode_features()
    query = query.replace(textual=torch.randn(B, Q, 1, D).double(), textual_mask=torch.ones(B, Q, 1).bool())
    padded = [
        VideoFeatures(
            features.visual,
            torch.cat([features.textual, torch.full_like(features.textual, 5)], dim=-2),
            torch.cat([features.textual_mask, torch.zeros_like(features.textual_mask)], dim=-1),
        )
        for features in (support, query)
    ]
    for found, expected in zip(module(*padded), module(support, query)):
        torch.testing.assert_close(found.visual, expected.visual)


def test_starts_as_the_identity():
    support, query = episode_features()
    new_support, new_query = TextModulation(D, num_heads=2).double()(support, query)
    torch.testing.assert_close(new_support.visual, support.visual)
    torch.testing.assert_close(new_query.visual, query.visual)
