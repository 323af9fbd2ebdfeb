"""CLIP-M2DF's prompt selector, temporal contexts, fusion encoder and head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_llava.models.heads import MultiviewHead
from fsar_llava.models.prototypes import (
    GlobalTemporalContext,
    LocalTemporalContext,
    MultimodalFusionEncoder,
    ProbabilityPromptSelector,
)

from .episodes import B, D, K, N, Q, episode_features
from .loops import array, cosine, fusion_layer, otam_distance, perturb, softmax


# ---- probability prompt selector ------------------------------------------------------------------------------------
def selector_probabilities(frames, texts, scale, top):
    values = []
    for text in texts:
        cosines = sorted((cosine(text, frame) for frame in frames), reverse=True)[:top]
        values.append(scale * sum(cosines) / len(cosines))
    return softmax(values)


@pytest.mark.parametrize('top', [1, 2, 4])
def test_probabilities_equal_plain_loops(top):
    support, query = episode_features()
    texts = support.textual[:, :, 0, 0]
    found = ProbabilityPromptSelector(scale=9.0, top_frames=top).probabilities(query.visual, texts)
    for b in range(B):
        for q in range(Q):
            expected = selector_probabilities(array(query.visual[b, q]), array(texts[b]), 9.0, top)
            np.testing.assert_allclose(array(found[b, q]), expected, rtol=1e-9)


def test_selections():
    support, query = episode_features()
    texts = support.textual[:, :, 0, 0]

    def select(selection, **kwargs):
        return ProbabilityPromptSelector(test_selection=selection, scale=3.0, **kwargs).eval()(query.visual, texts)

    probabilities = ProbabilityPromptSelector(scale=3.0).probabilities(query.visual, texts)
    argmax, expectation = select('argmax'), select('expectation')
    for b in range(B):
        for q in range(Q):
            assert torch.equal(argmax[b, q], texts[b, int(probabilities[b, q].argmax())])
            mean = sum(float(probabilities[b, q, n]) * array(texts[b, n]) for n in range(N))
            np.testing.assert_allclose(array(expectation[b, q]), mean, rtol=1e-9)
            assert any(torch.equal(select('sample')[b, q], texts[b, n]) for n in range(N))


def test_samples_in_evaluation_are_seeded_and_do_not_depend_on_other_episodes():
    support, query = episode_features(shape=(2, 3, 1, 40, 3, 8))
    texts = support.textual[:, :, 0, 0]
    selector = ProbabilityPromptSelector(scale=1.0, test_selection='sample').eval()
    state = torch.get_rng_state()
    found = selector(query.visual, texts)
    assert torch.equal(found, selector(query.visual, texts))
    assert torch.equal(found[1:], selector(query.visual[1:], texts[1:]))
    assert torch.equal(torch.get_rng_state(), state)
    other = ProbabilityPromptSelector(scale=1.0, test_selection='sample', seed=1).eval()
    assert not torch.equal(found, other(query.visual, texts))


def test_samples_follow_the_probabilities():
    torch.manual_seed(0)
    query, texts = torch.randn(1, 1, 3, D), torch.randn(1, N, D)
    selector = ProbabilityPromptSelector(scale=2.0).train()
    probabilities = selector.probabilities(query, texts)[0, 0]
    drawn = selector(query.expand(1, 4000, 3, D), texts)[0]
    counts = torch.stack([(drawn == text).all(-1).float().mean() for text in texts[0]])
    torch.testing.assert_close(counts, probabilities, atol=0.03, rtol=0)


@pytest.mark.parametrize('selection', ['sample', 'argmax', 'expectation'])
def test_autocast_changes_no_prompt(selection):
    support, query = (side.float() for side in episode_features())
    texts = support.textual[:, :, 0, 0]
    selector = ProbabilityPromptSelector(test_selection=selection).eval()
    with torch.autocast('cpu', torch.bfloat16):
        found, probabilities = selector(query.visual, texts), selector.probabilities(query.visual, texts)
    assert torch.equal(found, selector(query.visual, texts))
    assert torch.equal(probabilities, selector.probabilities(query.visual, texts))


def test_bad_arguments_of_the_selector():
    with pytest.raises(ValueError, match=r"test_selection must be one of .* 'best'"):
        ProbabilityPromptSelector(test_selection='best')
    with pytest.raises(ValueError, match='top_frames must be at least 1, but is 0'):
        ProbabilityPromptSelector(top_frames=0)


# ---- temporal contexts ----------------------------------------------------------------------------------------------
def convolve(layer, frames, *, before, dilation=1):
    """A convolution over a list of frames, zero outside; ``before`` frames are added in front."""
    weight, bias = array(layer.weight), array(layer.bias)
    size = weight.shape[2]
    result = []
    for t in range(len(frames)):
        total = bias.copy()
        for tap in range(size):
            position = t - before + tap * dilation
            if 0 <= position < len(frames):
                total = total + weight[:, :, tap] @ frames[position]
        result.append(total)
    return result


def global_context(module, frames):
    hidden = list(frames)
    for block, dilation in zip(module.blocks, (1, 2, 4)):
        inner = [np.maximum(x, 0) for x in convolve(block.first, hidden, before=2 * dilation, dilation=dilation)]
        inner = [np.maximum(x, 0) for x in convolve(block.second, inner, before=2 * dilation, dilation=dilation)]
        hidden = [np.maximum(x + y, 0) for x, y in zip(hidden, inner)]
    return [frame + hidden[-1] for frame in frames]


def local_context(module, frames):
    first, second = module.convolutions
    return convolve(second, convolve(first, frames, before=1), before=1)


@pytest.mark.parametrize('length', [1, 2, 8])
def test_local_context_equals_plain_loops(length):
    module = perturb(LocalTemporalContext(D).double())
    frames = torch.randn(2, length, D).double()
    for v in range(2):
        expected = local_context(module, list(array(frames[v])))
        np.testing.assert_allclose(array(module(frames)[v]), expected, rtol=1e-9)


def test_local_context_starts_as_the_identity_unless_told_otherwise():
    frames = torch.randn(2, 4, D)
    torch.testing.assert_close(LocalTemporalContext(D)(frames), frames)
    assert not torch.allclose(LocalTemporalContext(D, identity_init=False)(frames), frames, atol=1e-2)
    with pytest.raises(ValueError, match='must be odd'):
        LocalTemporalContext(D, kernel_size=4)


@pytest.mark.parametrize('length', [1, 3, 12])
def test_global_context_equals_plain_loops(length):
    module = perturb(GlobalTemporalContext(D).double()).eval()
    frames = torch.randn(2, length, D).double()
    for v in range(2):
        expected = global_context(module, list(array(frames[v])))
        np.testing.assert_allclose(array(module(frames)[v]), expected, rtol=1e-8)


# ---- fusion encoder and head ----------------------------------------------------------------------------------------
def encoder(**kwargs):
    context = dict(type='LocalTemporalContext', channels=D)
    return MultimodalFusionEncoder(context, D, num_heads=2, ffn_channels=12, **kwargs)


@pytest.mark.parametrize('compat', [False, True])
def test_fusion_encoder_equals_plain_loops(compat):
    module = perturb(encoder(compat_first_frame_text=compat).double()).eval()
    support, _ = episode_features()
    view = module(support)
    for b, n, k in np.ndindex(B, N, K):
        frames, prompt = list(array(support.visual[b, n, k])), array(support.textual[b, n, k, 0])
        expected = fusion_layer(module.layer, [prompt, *local_context(module.context, frames)], [prompt, *frames])
        np.testing.assert_allclose(array(view.visual[b, n, k]), expected[1:], rtol=1e-8)
        np.testing.assert_allclose(array(view.textual[b, n, k, 0]), expected[1 if compat else 0], rtol=1e-8)


def head(**kwargs):
    common = dict(type='MultimodalFusionEncoder', channels=D, num_heads=2, ffn_channels=12)
    settings = dict(
        matching=dict(type='OTAM', smoothing=0.5),
        prototype=dict(type='MeanPrototype'),
        selector=dict(type='ProbabilityPromptSelector'),
        local_view=dict(common, context=dict(type='LocalTemporalContext', channels=D)),
        global_view=dict(common, context=dict(type='GlobalTemporalContext', channels=D)),
        losses=[dict(type='FewShotCrossEntropy'), dict(type='MutualDistillation')],
    )
    settings.update(kwargs)
    return perturb(MultiviewHead(**settings).double())


def test_head_equals_plain_loops():
    model, (support, query) = head(temperature=0.5).eval(), episode_features()
    scores = model.episode_scores(support, query)
    contexts = {'local': local_context, 'global': global_context}
    for b, q in np.ndindex(B, Q):
        texts = [array(support.textual[b, n, 0, 0]) for n in range(N)]
        frames = list(array(query.visual[b, q]))
        prompt = texts[int(np.argmax(selector_probabilities(frames, texts, 200.0, 4)))]
        total = np.zeros(N)
        for name, context in contexts.items():
            view = model.views[name]

            def fuse(prompt, frames, view=view, context=context):
                return fusion_layer(view.layer, [prompt, *context(view.context, frames)], [prompt, *frames])

            fused = fuse(prompt, frames)
            for n in range(N):
                shots = np.mean([fuse(texts[n], list(array(support.visual[b, n, k]))) for k in range(K)], axis=0)
                logit = -otam_distance(np.array(fused[1:]), shots[1:], 0.5) / 0.5
                total[n] += logit
                assert float(scores.parts[name][b, q, n]) == pytest.approx(logit, rel=1e-5)
                assert float(scores.parts[f'text_{name}'][b, q, n]) == pytest.approx(
                    cosine(fused[0], shots[0]), rel=1e-6
                )
        np.testing.assert_allclose(array(scores.logits[b, q]), total, rtol=1e-5)


def test_cosines_of_text_parts_are_float32_under_autocast():
    model = head().float().eval()
    with torch.autocast('cpu', torch.bfloat16):
        parts = model.episode_scores(*(side.float() for side in episode_features())).parts
    assert {part.dtype for part in parts.values()} == {torch.float32}


def test_init_cfg_of_a_view_is_applied():
    init_cfg = dict(type='Constant', layer='Linear', val=7.0)
    context = dict(type='LocalTemporalContext', channels=D)
    view = dict(type='MultimodalFusionEncoder', context=context, channels=D, num_heads=2, init_cfg=init_cfg)
    model = head(local_view=view)
    model.init_weights()
    assert (model.views['local'].layer.query.weight == 7).all()


def test_head_needs_text_and_views():
    with pytest.raises(ValueError, match='needs the class texts'):
        head().episode_scores(*episode_features(text=False))
    support, query = episode_features()
    support.textual_mask.zero_()
    with pytest.raises(ValueError, match='needs the class texts'):
        head().episode_scores(support, query)
    with pytest.raises(ValueError, match='local_view or global_view'):
        head(local_view=None, global_view=None)


@pytest.mark.parametrize(('left_out', 'kept'), [('local_view', 'global'), ('global_view', 'local')])
def test_one_view_alone(left_out, kept):
    scores = head(**{left_out: None}).eval().episode_scores(*episode_features())
    assert set(scores.parts) == {kept, f'text_{kept}'}
    assert torch.equal(scores.logits, scores.parts[kept])


@pytest.mark.parametrize('matching', ['BiMHM', 'CosineMatching'])
def test_other_metrics_ways_and_frames(matching):
    scores = head(matching=dict(type=matching)).eval().episode_scores(*episode_features(shape=(1, 6, 1, 5, 2, D)))
    assert scores.logits.shape == (1, 5, 6)
    assert torch.isfinite(scores.logits).all()
