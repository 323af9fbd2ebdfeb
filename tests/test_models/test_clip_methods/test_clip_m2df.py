"""CLIP-M2DF's prompt selector, temporal contexts, fusion encoder, head and distillation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS

from fsar_llava import VideoFeatures
from fsar_llava.models.heads import MultiviewHead
from fsar_llava.models.losses import MutualDistillation
from fsar_llava.models.prototypes import (
    GlobalTemporalContext,
    LocalTemporalContext,
    MultimodalFusionEncoder,
    ProbabilityPromptSelector,
)
from fsar_llava.structures import EpisodeScores

from .episodes import B, D, K, N, Q, T, episode_features
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


def test_unknown_selection():
    with pytest.raises(ValueError, match=r"test_selection must be one of .* 'best'"):
        ProbabilityPromptSelector(test_selection='best')


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


def test_head_needs_text_and_views():
    with pytest.raises(ValueError, match='needs the class texts'):
        head().episode_scores(*episode_features(text=False))
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


# ---- mutual distillation --------------------------------------------------------------------------------------------
def draw_parts(seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    names = ('local', 'global', 'text_local', 'text_global')
    return {
        name: (scale * torch.randn(B, 12, N, generator=generator, dtype=torch.float64)).requires_grad_()
        for name in names
    }


def distillation(parts, direction='both', visual=True, textual=True):
    """Plain loops over episodes and queries."""
    value = {name: array(part) for name, part in parts.items()}
    total = 0.0
    for b in range(B):
        sums = {'local': [0.0, 0.0], 'global': [0.0, 0.0]}
        for q in range(value['local'].shape[1]):
            p = {name: softmax(part[b, q]) for name, part in value.items()}
            holds = []
            if visual:
                holds.append(max(p['local']) >= max(p['global']))
            if textual:
                holds.append(max(p['text_local']) >= max(p['text_global']))
            for teacher, student, teaches in (('local', 'global', all(holds)), ('global', 'local', not any(holds))):
                if not teaches or direction not in ('both', teacher):
                    continue
                weight = max(p[teacher]) + max(p[f'text_{teacher}'])
                kl = sum(a * (math.log(a) - math.log(c)) for a, c in zip(p[teacher], p[student]))
                sums[teacher][0] += weight * kl
                sums[teacher][1] += weight
        total += sum(s / w for s, w in sums.values() if w) / B
    return total


@pytest.mark.parametrize('direction', ['both', 'local', 'global'])
@pytest.mark.parametrize(('visual', 'textual'), [(True, True), (True, False), (False, True), (False, False)])
def test_distillation_equals_plain_loops(direction, visual, textual):
    parts = draw_parts()
    module = MutualDistillation(
        direction=direction, visual_condition=visual, textual_condition=textual, loss_weight=0.7
    )
    loss = module(EpisodeScores(parts['local'], parts), None)['loss_distill']
    expected = distillation(parts, direction, visual, textual)
    assert expected > 0.01
    assert float(loss.detach()) == pytest.approx(0.7 * expected, rel=1e-9)


def one_sided(teacher):
    """Scores in which one view is the more confident one for every query, or neither is for any."""
    sharp, flat = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.5, 0.0, 0.0])
    local = dict(local=(sharp, sharp), neither=(sharp, flat)).get(teacher, (flat, flat))
    other = dict(local=(flat, flat), neither=(flat, sharp)).get(teacher, (sharp, sharp))
    values = dict(zip(('local', 'text_local', 'global', 'text_global'), (*local, *other)))
    return {name: value.expand(B, Q, N).clone().requires_grad_() for name, value in values.items()}


@pytest.mark.parametrize(
    ('teacher', 'direction', 'positive'),
    [
        ('local', 'both', True),
        ('local', 'global', False),
        ('global', 'both', True),
        ('global', 'local', False),
        ('neither', 'both', False),
    ],
)
def test_where_nothing_qualifies_the_loss_is_zero_and_finite(teacher, direction, positive):
    parts = one_sided(teacher)
    loss = MutualDistillation(direction=direction)(EpisodeScores(parts['local'], parts), None)['loss_distill']
    loss.backward()
    assert torch.isfinite(loss)
    assert (float(loss) > 0.1) if positive else (float(loss) == 0)
    gradients = {name: part.grad for name, part in parts.items() if part.grad is not None}
    assert all(torch.isfinite(grad).all() for grad in gradients.values())
    student = dict(local='global').get(teacher, 'local')
    assert {name for name, grad in gradients.items() if grad.any()} == ({student} if positive else set())


def test_distillation_stays_finite_where_the_student_excludes_the_answer():
    parts = one_sided('local')
    parts['local'] = parts['local'].detach() * 1e4
    parts['global'] = (-parts['global'].detach() * 100).requires_grad_()
    loss = MutualDistillation(visual_condition=False)(EpisodeScores(parts['local'], parts), None)['loss_distill']
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(parts['global'].grad).all()


def test_distillation_needs_two_views():
    with pytest.raises(KeyError, match='MultiviewHead'):
        MutualDistillation()(EpisodeScores(torch.zeros(1, 2, 3)), None)
    with pytest.raises(ValueError, match=r"direction must be one of .* 'up'"):
        MutualDistillation(direction='up')


# ---- classification by text -----------------------------------------------------------------------------------------
@pytest.mark.parametrize('top', [None, 1, 2, 8])
def test_class_text_logits_equal_plain_loops(top):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    neck = MODELS.build(
        dict(type='ClassTextSupervision', text_encoder=encoder, classes=['run', 'jump'], scale=3.0, top_frames=top)
    )
    visual = torch.randn(4, T, 32, dtype=torch.float64)
    texts = array(neck.text_encoder(['a photo of run', 'a photo of jump']))
    found = neck.logits(visual)
    for v in range(4):
        frames = array(visual[v])
        for c in range(2):
            nearest = sorted((cosine(frame, texts[c]) for frame in frames), reverse=True)[:top]
            expected = cosine(frames.mean(0), texts[c]) if top is None else np.mean(nearest)
            assert float(found[v, c]) == pytest.approx(3 * expected, rel=1e-5)


def test_class_text_supervision_is_for_training_only(tmp_path):
    from tests.factories import episode_samples

    samples = episode_samples(2, 1, 1)
    (tmp_path / 'classes.txt').write_text('class 0\nclass 1\n\nclass 2\n')
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    build = dict(type='ClassTextSupervision', text_encoder=encoder, classes=str(tmp_path / 'classes.txt'))
    neck, features = MODELS.build(build), VideoFeatures(torch.randn(4, T, 32))
    same, losses = neck.train()(features, samples)
    assert same is features
    labels = torch.tensor([0, 1, 0, 1])
    expected = F.cross_entropy(neck.logits(features.visual), labels)
    torch.testing.assert_close(losses['loss_class_text'], expected)
    assert neck.eval()(features, samples) == (features, {})
    assert MODELS.build(dict(build, loss_weight=0)).train()(features, samples) == (features, {})
    with pytest.raises(ValueError, match="'class 1', which is not among the 1 classes"):
        MODELS.build(dict(build, classes=['class 0'])).train()(features, samples)


@pytest.mark.parametrize(
    ('classes', 'error', 'message'),
    [
        ([], ValueError, 'got 0'),
        (['a', 'a'], ValueError, 'got 2'),
        ('no.txt', FileNotFoundError, r"file 'no\.txt'"),
    ],
)
def test_bad_class_lists(classes, error, message):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    neck = MODELS.build(dict(type='ClassTextSupervision', text_encoder=encoder, classes=classes))
    with pytest.raises(error, match=message):
        neck.train()(VideoFeatures(torch.randn(1, T, 32)), [])


def test_classes_of_the_training_list(tmp_path):
    listing = tmp_path / 'train.txt'
    listing.write_text('a b/0.mp4\t2\nc/1.mp4\t0\na b/1.mp4\t2\n')
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    build = dict(type='ClassTextSupervision', text_encoder=encoder, ann_file=str(listing), delimiter='\t')
    assert list(MODELS.build(dict(build, classes=['c', 'd', 'a b'])).classes) == ['c', 'a b']
    with pytest.raises(ValueError, match="label '2', but the labels of 2 classes"):
        _ = MODELS.build(dict(build, classes=['c', 'd'])).classes
    with pytest.raises(ValueError, match='its delimiter'):
        _ = MODELS.build(dict(build, classes=['c', 'd', 'a b'], delimiter=',')).classes
