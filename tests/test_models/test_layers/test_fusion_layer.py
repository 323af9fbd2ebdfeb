from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_llava.models.layers.fusion_layer import FusionLayer
from tests.test_models.test_clip_methods.loops import array, fusion_layer, perturb


@pytest.mark.parametrize('qkv_bias', [True, False])
@pytest.mark.parametrize('norm', [True, False])
def test_equals_plain_loops(norm, qkv_bias):
    torch.manual_seed(0)
    layer = perturb(FusionLayer(8, num_heads=2, ffn_channels=12, norm=norm, qkv_bias=qkv_bias).double())
    assert (layer.query.bias is None) == (layer.key_value.bias is None) == (not qkv_bias)
    query, context = torch.randn(2, 3, 8).double(), torch.randn(2, 4, 8).double()
    mask = torch.tensor([[True, False, True, True], [True, True, False, False]])
    found = layer(query, context, mask=mask)
    for v in range(2):
        kept = [array(context[v, s]) for s in range(4) if mask[v, s]]
        np.testing.assert_allclose(array(found[v]), fusion_layer(layer, array(query[v]), kept), rtol=1e-9)
    expected = fusion_layer(layer, array(query[0]), array(query[0]))
    np.testing.assert_allclose(array(layer(query)[0]), expected, rtol=1e-9)


def test_starts_as_the_identity_unless_told_otherwise():
    tokens = torch.randn(2, 3, 8)
    torch.testing.assert_close(FusionLayer(8, num_heads=2)(tokens), tokens)
    assert not torch.allclose(FusionLayer(8, num_heads=2, zero_init=False)(tokens), tokens, atol=1e-3)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    layer = perturb(FusionLayer(8, num_heads=2, attention_dropout=0.5, ffn_dropout=0.5).double())
    tokens = torch.randn(2, 3, 8).double()
    assert not torch.equal(layer(tokens), layer(tokens))
    layer.eval()
    assert torch.equal(layer(tokens), layer(tokens))


def test_dropout_of_the_output_leaves_the_query_as_it_is():
    torch.manual_seed(0)
    layer = perturb(FusionLayer(8, num_heads=2, output_dropout=0.5).double())
    torch.nn.init.zeros_(layer.ffn[3].weight)
    torch.nn.init.zeros_(layer.ffn[3].bias)
    tokens = torch.randn(2, 3, 8).double()
    added, whole = layer(tokens) - tokens, layer.eval()(tokens) - tokens
    dropped = added.abs() < 1e-12
    assert 0 < dropped.sum() < dropped.numel()
    torch.testing.assert_close(added[~dropped], 2 * whole[~dropped])


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match='num_heads=3 and channels=8'):
        FusionLayer(8, num_heads=3)
