from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fsar_llava.models.backbones import CLIPBackbone, MAFSARBackbone
from fsar_llava.models.backbones.ma_fsar_adapter import AdaptedBlock
from tests.test_models.test_clip_methods.loops import array, gelu, layer_norm, linear, perturb, softmax

PROMPTS = ['a photo of run', None]


def frames(num_videos=2, num_frames=3):
    return torch.randn(num_videos, num_frames, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def adapter(module, x):
    return linear(module.up, gelu(linear(module.down, x)))


def attention(block, tokens):
    """MSA(LN z) for a list of tokens."""
    msa, heads = block.self_attn, block.self_attn.num_heads
    normed = [layer_norm(block.layer_norm1, x) for x in tokens]
    q, k, v = ([linear(p, x).reshape(heads, -1) for x in normed] for p in (msa.q_proj, msa.k_proj, msa.v_proj))
    results = []
    for i in range(len(tokens)):
        out = []
        for h in range(heads):
            scores = np.array([q[i][h] @ k[j][h] for j in range(len(tokens))]) / math.sqrt(len(q[i][h]))
            weights = softmax(scores)
            out.append(sum(weights[j] * v[j][h] for j in range(len(tokens))))
        results.append(linear(msa.out_proj, np.concatenate(out)))
    return results


def adapted_block(module, block, x, text, path):
    """One video ``[T][S]`` of tokens; ``text`` is a list of embeddings."""
    moved = attention(block, [frame[0] for frame in x])
    motion = [frame[0] + adapter(module.temporal, m) for frame, m in zip(x, moved)]
    words = [linear(module.text_fc, t) for t in text]
    result = []
    for frame, z in zip(x, motion):
        attended = attention(block, [*frame, z, *words])
        own = attention(block, list(frame))
        row = []
        for s, token in enumerate(frame):
            kept = dict(frozen=own[s], adapted=attended[s], none=0.0)[path]
            u = token + kept + adapter(module.local, attended[s])
            n = layer_norm(block.layer_norm2, u)
            mlp = linear(block.mlp.fc2, quick_gelu(linear(block.mlp.fc1, n)))
            row.append(u + mlp + adapter(module.joint, n))
        result.append(row)
    return np.array(result)


@pytest.mark.parametrize('path', ['frozen', 'adapted', 'none'])
def test_block_equals_plain_loops(path):
    torch.manual_seed(0)
    block = CLIPBackbone(architecture='tiny').visual.vision_model.encoder.layers[0].double().requires_grad_(False)
    perturb(block.requires_grad_(True), seed=5)
    module = AdaptedBlock(32, 6, 10, path=path).double()
    perturb(module)
    x, text = torch.randn(2, 3, 4, 32).double(), torch.randn(2, 2, 10).double()
    mask = torch.tensor([[True, True], [False, True]])
    found = module(x, block, text, mask)
    for v in range(2):
        words = [array(text[v, i]) for i in range(2) if mask[v, i]]
        expected = adapted_block(module, block, array(x[v]), words, path)
        np.testing.assert_allclose(array(found[v]), expected, rtol=1e-9, atol=1e-9)
    without = module(x, block)
    np.testing.assert_allclose(
        array(without[0]), adapted_block(module, block, array(x[0]), [], path), rtol=1e-9, atol=1e-9
    )


def test_starts_as_plain_clip():
    torch.manual_seed(0)
    backbone = MAFSARBackbone(architecture='tiny', adapter_channels=8)
    plain = CLIPBackbone(architecture='tiny')
    plain.visual.load_state_dict(backbone.visual.state_dict())
    found, expected = backbone(frames(), PROMPTS), plain(frames(), PROMPTS)
    torch.testing.assert_close(found.visual, expected.visual)
    assert torch.equal(found.textual, expected.textual)
    perturb(backbone)
    assert not torch.allclose(backbone(frames(), PROMPTS).visual, expected.visual, atol=1e-2)


def test_text_changes_its_own_video_only():
    torch.manual_seed(0)
    backbone = MAFSARBackbone(architecture='tiny', adapter_channels=8)
    perturb(backbone)
    with_text, without = backbone(frames(), PROMPTS).visual, backbone(frames(), [None, None]).visual
    torch.testing.assert_close(with_text[1], without[1])
    torch.testing.assert_close(without, backbone(frames()).visual)
    assert not torch.allclose(with_text[0], without[0], atol=1e-3)


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients_reach_the_adapters_and_nothing_else(with_cp):
    torch.manual_seed(0)
    backbone = MAFSARBackbone(architecture='tiny', adapter_channels=8, with_cp=with_cp).train()
    perturb(backbone)
    (backbone(frames(), PROMPTS).visual * torch.arange(32)).sum().backward()
    trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trainable == {name for name, _ in backbone.named_parameters() if name.startswith('adapters.')}
    assert {name for name, p in backbone.named_parameters() if p.grad is not None and p.grad.any()} == trainable


def test_trainable_parameters_of_vit_b_32():
    with torch.device('meta'):
        backbone = MAFSARBackbone(architecture='ViT-B/32')
    trainable = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    # 12 blocks of three adapters 768 -> 192 -> 768 and one 512 -> 768 layer, with biases.
    assert trainable == 12 * (3 * (768 * 192 + 192 + 192 * 768 + 768) + 512 * 768 + 768)


def test_needs_videos():
    with pytest.raises(ValueError, match='attends over time'):
        MAFSARBackbone(architecture='tiny')(torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"path must be one of .* 'clip'"):
        MAFSARBackbone(architecture='tiny', path='clip')


def test_identity_tells_what_the_adapters_were_tuned_for():
    def identity(**kwargs):
        return MAFSARBackbone(**{'architecture': 'tiny', **kwargs}).identity()

    other = dict(base='tiny', vision=dict(num_hidden_layers=3))
    assert identity() == identity()
    assert {key for key, value in identity(path='adapted').items() if value != identity()[key]} == {'path'}
    assert {key for key, value in identity(architecture=other).items() if value != identity()[key]} == {'visual'}
