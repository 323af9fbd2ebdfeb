from collections.abc import Mapping

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from fsar_llava.models.prototypes import CompositeTaskOrientedPrototype, MeanPrototype
from fsar_llava.models.prototypes import composite_task_oriented_prototype as module
from fsar_llava.structures import VideoFeatures

from ..test_layers.loops import attention, features, linear, names_with_gradient, numbers, pad_text, perturb

B, N, K, Q = 2, 3, 2, 4
# Two episodes of three ways and two shots; the last class of the second episode has no text, nor has its last query.
SUPPORT = features((B, N, K), (3,), [4, 2, 3, 3, 1, 4, 2, 2, 4, 1, 0, 0])
QUERY = features((B, Q), (5,), [4, 3, 2, 1, 1, 2, 3, 0], seed=10)
PARTS = [dict(use_global=False), dict(use_local=False), dict()]
MERGES = [*PARTS, *(dict(part, merge='sum') for part in PARTS)]


def make(**options) -> CompositeTaskOrientedPrototype:
    return CompositeTaskOrientedPrototype(8, 2, **options)


def means(support, mask) -> tuple[np.ndarray, list[bool]]:
    """P_c [M, D] of one class from its shots [K, M, D], and which of its tokens are valid."""
    rows, valid = [], []
    for token in range(support.shape[1]):
        shots = [numbers(shot[token]) for shot, flags in zip(support, mask) if flags[token]]
        rows.append(sum(shots) / len(shots) if shots else np.zeros(support.shape[-1]))
        valid.append(bool(shots))
    return np.array(rows), valid


def mean_of_valid(tokens, valid) -> np.ndarray:
    chosen = [token for token, flag in zip(tokens, valid) if flag]
    return sum(chosen) / len(chosen) if chosen else 0 * tokens[0]


def oracle(parts, support, support_mask, query, query_mask) -> np.ndarray:
    """P~ [N, M, D] of one query of one episode, in one modality."""
    classes = [means(shots, mask) for shots, mask in zip(support, support_mask)]
    query, query_valid = numbers(query), [bool(flag) for flag in query_mask]
    enhanced = [prototype.copy() for prototype, _ in classes]
    if 'local' in parts:
        part = parts['local']
        for way, (prototype, valid) in enumerate(classes):
            if any(valid + query_valid):
                keys = np.concatenate([prototype, query])
                local = attention(part.attention, prototype, keys, valid + query_valid)
                enhanced[way] += np.array([linear(part.merge, t) for t in local]) if part.merge else local - prototype
    if 'global' in parts:
        part = parts['global']
        task = [mean_of_valid(*pair) for pair in classes] + [mean_of_valid(query, query_valid)]
        seen = [any(valid) for _, valid in classes] + [any(query_valid)]
        read = attention(part.attention, np.array(task), mask=seen)
        for way, (prototype, _) in enumerate(classes):
            merged = [linear(part.merge, token + read[way]) for token in prototype] if part.merge else []
            enhanced[way] += np.array(merged) if merged else read[way] - task[way]
    return np.array([tokens * np.array(valid)[:, None] for tokens, (_, valid) in zip(enhanced, classes)])


@pytest.mark.parametrize('options', MERGES)
def test_equals_plain_loops(options):
    prototype = perturb(make(**options))
    result = prototype(SUPPORT, QUERY)
    assert result.visual.shape == (B, Q, N, 1, 3, 8)
    assert result.textual.shape == (B, Q, N, 1, 4, 8)
    for episode in range(B):
        for query in range(Q):
            frames = SUPPORT.visual[episode], np.ones((N, K, 3), bool), QUERY.visual[episode, query], np.ones(5, bool)
            visual = oracle(prototype.parts['visual'], *frames)
            torch.testing.assert_close(result.visual[episode, query, :, 0], torch.tensor(visual))
            text = SUPPORT.textual[episode], SUPPORT.textual_mask[episode]
            text += QUERY.textual[episode, query], QUERY.textual_mask[episode, query]
            textual = oracle(prototype.parts['textual'], *text)
            torch.testing.assert_close(result.textual[episode, query, :, 0], torch.tensor(textual))
    expected_mask = SUPPORT.textual_mask.any(2)[:, None, :, None].expand(B, Q, N, 1, 4)
    assert torch.equal(result.textual_mask, expected_mask)


@pytest.mark.parametrize('options', MERGES)
@pytest.mark.parametrize('init_weights', [False, True])
def test_starts_as_the_class_mean(options, init_weights):
    prototype = make(**options).double()
    if init_weights:
        prototype.init_weights()
    result, expected = prototype(SUPPORT, QUERY), MeanPrototype()(SUPPORT)
    assert torch.equal(result.visual, expected.visual[:, None].expand_as(result.visual))
    assert torch.equal(result.textual, expected.textual[:, None].expand_as(result.textual))


@pytest.mark.parametrize('side', ['support', 'query'])
def test_padding_of_one_side_alone_changes_nothing(side):
    prototype = perturb(make())
    short = {'support': features((1, 2, 1), (3,), [3] * 2), 'query': features((1, 2), (3,), [3] * 2, seed=10)}
    short = {
        name: part.replace(textual=part.textual[..., :3, :], textual_mask=part.textual_mask[..., :3])
        for name, part in short.items()
    }
    part = short[side]
    junk = torch.full_like(part.textual[..., :1, :], 5)
    padded = part.replace(
        textual=torch.cat([part.textual, junk], dim=-2),
        textual_mask=torch.cat([part.textual_mask, torch.zeros_like(part.textual_mask[..., :1])], dim=-1),
    )
    found, expected = prototype(**{**short, side: padded}), prototype(**short)
    torch.testing.assert_close(found.textual[..., :3, :], expected.textual)
    assert not found.textual[..., 3:, :].any()


def test_a_modality_that_is_left_out_keeps_its_class_means():
    prototype = perturb(make(modalities=['visual']))
    result, both = prototype(SUPPORT, QUERY), MeanPrototype()(SUPPORT)
    assert torch.equal(result.textual, both.textual[:, None].expand_as(result.textual))
    assert not torch.allclose(result.visual, both.visual[:, None].expand_as(result.visual))


def test_without_text():
    prototype = perturb(make())
    result = prototype(VideoFeatures(SUPPORT.visual), VideoFeatures(QUERY.visual))
    assert result.textual is None
    torch.testing.assert_close(result.visual, prototype(SUPPORT, QUERY).visual)


def test_queries_and_episodes_do_not_see_each_other():
    prototype = perturb(make())
    result = prototype(SUPPORT, QUERY)
    alone = prototype(SUPPORT[1:], QUERY[1:].map(lambda tensor: tensor[:, 2:3]))
    torch.testing.assert_close(alone.visual[0, 0], result.visual[1, 2])
    torch.testing.assert_close(alone.textual[0, 0], result.textual[1, 2])


def test_permuting_ways_permutes_prototypes():
    prototype, order = perturb(make()), torch.tensor([2, 0, 1])
    result, permuted = prototype(SUPPORT, QUERY), prototype(SUPPORT.map(lambda x: x[:, order]), QUERY)
    torch.testing.assert_close(permuted.visual, result.visual[:, :, order])
    torch.testing.assert_close(permuted.textual, result.textual[:, :, order])


def test_every_way_and_the_query_matter_to_a_prototype():
    prototype = perturb(make())
    support, query = SUPPORT.visual.clone().requires_grad_(), QUERY.visual.clone().requires_grad_()
    prototype(VideoFeatures(support), VideoFeatures(query)).visual[0, 0, 0].sum().backward()
    assert (support.grad[0] != 0).all()
    assert (query.grad[0, 0] != 0).all()
    assert (support.grad[1] == 0).all()
    assert (query.grad[0, 1:] == 0).all()


@pytest.mark.parametrize('value', [7.0, float('nan')])
def test_padded_text_changes_nothing(value):
    prototype = perturb(make())
    result = prototype(SUPPORT, QUERY)
    padded = prototype(pad_text(SUPPORT, 2, value), pad_text(QUERY, 3, value))
    torch.testing.assert_close(padded.textual[..., :4, :], result.textual)
    assert (padded.textual[~padded.textual_mask] == 0).all()
    padded.textual.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in prototype.parts['textual'].parameters())


def loss_of(prototype, support=SUPPORT, query=QUERY) -> torch.Tensor:
    result = prototype(support, query)
    loss = (result.visual * features((B, Q, N, 1), (3,), seed=5).visual).sum()
    if result.textual is not None:
        loss = loss + (result.textual * features((B, Q, N, 1), (4,), seed=6).visual).sum()
    return loss


@pytest.mark.parametrize('chunk_size', [1, 2, 3, 4, 5, 8, 100])
def test_chunks_change_neither_results_nor_gradients(chunk_size):
    whole, chunked = perturb(make()), make(chunk_size=chunk_size).double()
    chunked.load_state_dict(whole.state_dict())
    result, expected = chunked(SUPPORT, QUERY), whole(SUPPORT, QUERY)
    for name in ('visual', 'textual', 'textual_mask'):
        torch.testing.assert_close(getattr(result, name), getattr(expected, name), atol=1e-9, rtol=1e-9)
    loss_of(whole).backward()
    loss_of(chunked).backward()
    for mine, other in zip(chunked.parameters(), whole.parameters()):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(('chunk_size', 'calls'), [(1, B * Q), (3, 2 * B), (4, B), (7, B), (8, 1)])
@pytest.mark.parametrize('grad', [True, False])
def test_functions_of_prototypes_never_see_more_than_a_chunk(chunk_size, calls, grad):
    prototype, sizes = perturb(make(chunk_size=chunk_size)), []

    def measure(query: VideoFeatures, prototypes: VideoFeatures) -> Mapping:
        sizes.append(query.visual.shape[0] * query.visual.shape[1])
        gaps = query.visual.mean(-2)[:, :, None] - prototypes.visual[:, :, :, 0].mean(-2)
        return {'distance': gaps.square().sum(-1), 'first': prototypes.visual[..., 0, 0, 0]}

    with torch.set_grad_enabled(grad):
        result = prototype.map_queries(measure, SUPPORT, QUERY)
    assert len(sizes) == calls
    assert max(sizes) <= chunk_size
    assert sum(sizes) == B * Q
    prototypes = prototype(SUPPORT, QUERY)
    torch.testing.assert_close(result['first'], prototypes.visual[..., 0, 0, 0])
    assert result['distance'].shape == (B, Q, N)


@pytest.mark.parametrize('sizes', [(0, Q), (B, 0), (0, 0)])
def test_no_episodes_and_no_queries(sizes):
    support, query = SUPPORT[: sizes[0]], QUERY[: sizes[0]].map(lambda tensor: tensor[:, : sizes[1]])
    result = make().double()(support, query)
    assert result.visual.shape == (*sizes, N, 1, 3, 8)
    assert result.textual.shape == (*sizes, N, 1, 4, 8)
    assert result.textual_mask.shape == (*sizes, N, 1, 4)


@pytest.mark.parametrize(('chunk_size', 'again'), [(3, 4), (8, 0)])
def test_chunks_are_computed_anew_in_the_backward_pass_instead_of_stored(chunk_size, again):
    prototype, calls = perturb(make(chunk_size=chunk_size)), []
    result = prototype.map_queries(lambda _, prototypes: calls.append(1) or prototypes.visual.exp(), SUPPORT, QUERY)
    forward = len(calls)
    result.sum().backward()
    assert len(calls) - forward == again


@pytest.mark.parametrize('grad', [True, False])
def test_the_default_chunk_follows_free_memory(monkeypatch, grad):
    prototype, sizes = perturb(make()), []

    def largest(free: int) -> int:
        monkeypatch.setattr(module, 'free_memory', lambda device: free)
        sizes.clear()
        prototype.map_queries(measure, SUPPORT, QUERY)
        return max(sizes)

    def measure(query: VideoFeatures, prototypes: VideoFeatures) -> torch.Tensor:
        sizes.append(query.visual.shape[0] * query.visual.shape[1])
        return query.visual

    with torch.set_grad_enabled(grad):
        assert largest(0) == 1
        assert largest(1 << 34) == B * Q
        sizes_by_memory = [largest(1 << power) for power in range(12, 22)]
    assert sizes_by_memory == sorted(sizes_by_memory)
    assert len(set(sizes_by_memory)) > 2


@pytest.mark.parametrize('merge', ['linear', 'sum'])
def test_every_parameter_gets_a_gradient(merge):
    prototype = perturb(make(merge=merge))
    loss_of(prototype).backward()
    assert names_with_gradient(prototype) == {name for name, _ in prototype.named_parameters()}


def test_w_learns_first_then_the_outputs_then_everything():
    torch.manual_seed(0)
    prototype = make().double()
    begin = {name: p.detach().clone() for name, p in prototype.named_parameters()}
    optimizer = torch.optim.SGD(prototype.parameters(), lr=0.05)
    learned = []
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(prototype).backward()
        learned.append(names_with_gradient(prototype))
        optimizer.step()
    assert learned[0] == {name for name in begin if name.endswith('merge.weight')}
    assert learned[1] == {name for name in begin if name.endswith(('merge.weight', 'output.weight'))}
    assert learned[2] == set(begin)
    assert [name for name, p in prototype.named_parameters() if torch.equal(p, begin[name])] == []


@pytest.mark.parametrize(
    ('text', 'options', 'unused'),
    [
        (True, {}, set()),
        (True, PARTS[0], set()),
        (True, PARTS[1], set()),
        (True, dict(modalities=['textual']), set()),
        (False, {}, {'textual'}),
        (False, dict(modalities=['visual']), set()),
    ],
)
def test_no_parameter_is_left_out_of_the_graph_where_ddp_would_refuse_it(text, options, unused):
    prototype = make(**options).double()
    sides = (SUPPORT, QUERY) if text else (VideoFeatures(SUPPORT.visual), VideoFeatures(QUERY.visual))
    loss_of(prototype, *sides).backward()
    assert {name.split('.')[1] for name, p in prototype.named_parameters() if p.grad is None} == unused


@pytest.mark.parametrize(
    ('options', 'left'),
    [
        (dict(), {('visual', 'local'), ('visual', 'global'), ('textual', 'local'), ('textual', 'global')}),
        (dict(use_local=False), {('visual', 'global'), ('textual', 'global')}),
        (dict(use_global=False, modalities=['visual']), {('visual', 'local')}),
    ],
)
def test_parts_left_out_have_no_parameters(options, left):
    assert {tuple(name.split('.')[1:3]) for name, _ in make(**options).named_parameters()} == left


def test_low_precision():
    prototype = perturb(make(), scale=0.1)
    expected = prototype(SUPPORT, QUERY)
    half = SUPPORT.map(lambda x: x.bfloat16() if x.is_floating_point() else x)
    query = QUERY.map(lambda x: x.bfloat16() if x.is_floating_point() else x)
    result = prototype.bfloat16()(half, query)
    assert result.visual.dtype == torch.bfloat16
    torch.testing.assert_close(result.textual.double(), expected.textual, atol=0.1, rtol=0.1)


def test_autocast_stays_close():
    prototype = perturb(make(), scale=0.1)
    expected = prototype(SUPPORT, QUERY)
    with torch.autocast('cpu', torch.bfloat16):
        result = prototype.float()(SUPPORT.float(), QUERY.float())
    torch.testing.assert_close(result.visual.double(), expected.visual, atol=0.05, rtol=0.05)
    torch.testing.assert_close(result.textual.double(), expected.textual, atol=0.05, rtol=0.05)


def test_is_registered():
    prototype = MODELS.build(dict(type='CompositeTaskOrientedPrototype', channels=8))
    assert isinstance(prototype, BaseModule)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(use_local=False, use_global=False), 'both off.*MeanPrototype'),
        (dict(modalities=[]), r'but is \[\]'),
        (dict(modalities='visual'), "in a list, but is 'visual'"),
        (dict(modalities=['audio']), r"\['audio'\]"),
        (dict(merge='mean'), "'linear' or 'sum', but is 'mean'"),
        (dict(chunk_size=0), 'chunk_size must be at least 1'),
        (dict(num_heads=3), 'num_heads=3 and channels=8'),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        CompositeTaskOrientedPrototype(8, **options)


def test_bad_features_are_named():
    prototype = make().double()
    with pytest.raises(ValueError, match=r'channels=8, but features are \[5\] wide'):
        prototype(features((B, N, K), (3,), width=5), features((B, Q), (3,), width=5))
    with pytest.raises(ValueError, match='both have textual features, or neither'):
        prototype(SUPPORT, VideoFeatures(QUERY.visual))
