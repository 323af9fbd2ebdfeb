"""What holds for every metric that takes tensors."""

from __future__ import annotations

import functools

import pytest
import torch
from einops import repeat
from mmaction.registry import MODELS

from fsar_llava.models.matching import BaseMatching
from fsar_llava.structures import BankRows

from . import oracles
from .episodes import episode, random_mask

FREE = {  # metrics without parameters, and their oracles
    'cosine': (dict(type='CosineMatching'), oracles.cosine),
    'cosine eps': (dict(type='CosineMatching', eps=0.01), functools.partial(oracles.cosine, eps=0.01)),
    'euclidean': (dict(type='EuclideanMatching'), oracles.euclidean),
    'euclidean root': (
        dict(type='EuclideanMatching', squared=False),
        functools.partial(oracles.euclidean, squared=False),
    ),
    'otam': (dict(type='OTAM'), oracles.otam),
    'otam 0.5': (dict(type='OTAM', smoothing=0.5), functools.partial(oracles.otam, smoothing=0.5)),
    'otam one way': (dict(type='OTAM', bidirectional=False), functools.partial(oracles.otam, bidirectional=False)),
    'otam eps': (dict(type='OTAM', eps=0.01), functools.partial(oracles.otam, eps=0.01)),
    'bi_mhm': (dict(type='BiMHM'), oracles.bi_mhm),
    'bi_mhm mean': (
        dict(type='BiMHM', reduction='mean', eps=0.01),
        functools.partial(oracles.bi_mhm, reduction='mean', eps=0.01),
    ),
}
CONFIGS = {name: config for name, (config, _) in FREE.items()}
CONFIGS['trx'] = dict(type='TRX', in_channels=6, out_channels=8, cardinalities=(1, 2), dropout=0.5)
CONFIGS['tuples'] = dict(type='TupleMatching', cardinalities=(1, 2))


@pytest.fixture(params=CONFIGS)
def matching(request: pytest.FixtureRequest) -> BaseMatching:
    torch.manual_seed(0)
    return MODELS.build(CONFIGS[request.param]).double().eval()


@pytest.mark.parametrize('frames', [(5, 5), (4, 6), (6, 3), (1, 4), (3, 1), (1, 1)])
@pytest.mark.parametrize('name', FREE)
def test_equals_plain_loops(name: str, frames: tuple[int, int]) -> None:
    config, oracle = FREE[name]
    query, support = episode(frames=frames, shots=2)
    torch.testing.assert_close(MODELS.build(config)(query, support), oracles.over_episodes(oracle, query, support))


@pytest.mark.parametrize('shots', [1, 3, 5])
@pytest.mark.parametrize('name', FREE)
def test_is_the_mean_over_shots(name: str, shots: int) -> None:
    config, oracle = FREE[name]
    query, support = episode(shots=shots, batch=1, queries=2)
    torch.testing.assert_close(MODELS.build(config)(query, support), oracles.over_episodes(oracle, query, support))


@pytest.mark.parametrize('sides', ['query', 'support', 'both'])
@pytest.mark.parametrize('prefix', [True, False])
@pytest.mark.parametrize('frames', [(5, 5), (4, 7)])
@pytest.mark.parametrize('name', FREE)
def test_masked_frames_are_dropped(name: str, frames: tuple[int, int], prefix: bool, sides: str) -> None:
    config, oracle = FREE[name]
    query, support = episode(frames=frames, shots=2)
    query_mask = None if sides == 'support' else random_mask(query, prefix=prefix)
    support_mask = None if sides == 'query' else random_mask(support, prefix=prefix, seed=1)
    expected = oracles.over_episodes(oracle, query, support, query_mask, support_mask)
    # Whatever the padding holds, values and gradients must not see it.
    if query_mask is not None:
        query[~query_mask] = float('nan')
    if support_mask is not None:
        support[~support_mask] = float('inf')
    query.requires_grad_(), support.requires_grad_()
    distance = MODELS.build(config)(query, support, query_mask, support_mask)
    torch.testing.assert_close(distance, expected)
    distance.sum().backward()
    for tokens, mask in ((query, query_mask), (support, support_mask)):
        assert tokens.grad.isfinite().all()
        if mask is not None:
            assert not tokens.grad[~mask].any()


@pytest.mark.parametrize('name', FREE)
def test_query_conditioned_supports_equal_plain_loops(name: str) -> None:
    config, oracle = FREE[name]
    query, support = episode(frames=(4, 5), shots=2, conditioned=True)
    masks = random_mask(query), random_mask(support, seed=1)
    expected = oracles.over_episodes(oracle, query, support, *masks)
    torch.testing.assert_close(MODELS.build(config)(query, support, *masks), expected)


@pytest.mark.parametrize('masked', [False, True])
def test_query_conditioned_equals_unconditioned_when_expanded(matching: BaseMatching, masked: bool) -> None:
    query, support = episode(frames=(4, 5), shots=3)
    masks = [random_mask(tokens, least=2) if masked else None for tokens in (query, support)]
    expanded = repeat(support, 'b n k t d -> b q n k t d', q=3)
    expanded_mask = repeat(masks[1], 'b n k t -> b q n k t', q=3) if masked else None
    torch.testing.assert_close(matching(query, expanded, masks[0], expanded_mask), matching(query, support, *masks))


def test_full_masks_change_nothing(matching: BaseMatching) -> None:
    query, support = episode(shots=2)
    masks = [torch.ones(tokens.shape[:-1], dtype=torch.bool) for tokens in (query, support)]
    torch.testing.assert_close(matching(query, support, *masks), matching(query, support))


def test_permuting_ways_queries_and_shots(matching: BaseMatching) -> None:
    query, support = episode(frames=(4, 5), shots=3)
    distance = matching(query, support)
    ways, queries, shots = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        matching(query[:, queries], support[:, ways][:, :, shots]), distance[:, queries][..., ways]
    )
    assert distance.flatten().unique().numel() == distance.numel()


def test_episodes_of_a_batch_do_not_see_each_other(matching: BaseMatching) -> None:
    query, support = episode(batch=3, frames=(4, 5), shots=2)
    alone = torch.cat([matching(query[b : b + 1], support[b : b + 1]) for b in range(3)])
    torch.testing.assert_close(matching(query, support), alone)


def test_prepared_once_per_video_gives_the_same(matching: BaseMatching) -> None:
    bank = episode(batch=9, queries=1, ways=1)[0][:, 0]
    mask = random_mask(bank, least=2)
    query_index = torch.tensor([[0, 1], [2, 0]])
    support_index = torch.tensor([[[3, 4], [5, 6], [7, 8]], [[8, 3], [1, 4], [6, 5]]])
    prepared = matching.prepare(bank, mask)
    assert all(len(tensor) == len(bank) for tensor in prepared.values())
    expected = matching(bank[query_index], bank[support_index], mask[query_index], mask[support_index])
    gathered = ({name: tensor[index] for name, tensor in prepared.items()} for index in (query_index, support_index))
    torch.testing.assert_close(matching.match(*gathered), expected)
    torch.testing.assert_close(
        matching.match(BankRows(prepared, query_index), BankRows(prepared, support_index)), expected
    )


def test_gradients(matching: BaseMatching) -> None:
    query, support = episode(batch=1, queries=2, ways=2, shots=2, frames=(3, 4), seed=5)
    masks = random_mask(query, least=2), random_mask(support, least=2)
    query.requires_grad_(), support.requires_grad_()
    assert torch.autograd.gradcheck(matching, (query, support), fast_mode=True)
    assert torch.autograd.gradcheck(lambda *tokens: matching(*tokens, *masks), (query, support), fast_mode=True)


def test_gradients_are_finite_for_identical_and_for_zero_frames(matching: BaseMatching) -> None:
    query, support = episode(shots=2)
    query[:] = support[:, :1, 0]  # all queries are the first class's first shot
    query[0, 0] = support[1, 0] = 0
    query[0, 1, 2] = support[0, 1, 0, 1] = 0
    query.requires_grad_(), support.requires_grad_()
    distance = matching(query, support)
    assert distance.isfinite().all()
    distance.sum().backward()
    assert query.grad.isfinite().all()
    assert support.grad.isfinite().all()
    assert query.grad.abs().max() < 1e3


@pytest.mark.parametrize('sizes', [dict(batch=0), dict(queries=0)], ids=['no episodes', 'no queries'])
def test_nothing_to_compare(matching: BaseMatching, sizes: dict[str, int]) -> None:
    query, support = episode(**sizes)
    assert matching(query, support).shape == (sizes.get('batch', 2), sizes.get('queries', 3), 4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_promoted(matching: BaseMatching, dtype: torch.dtype) -> None:
    matching = matching.float()
    query, support = (tokens.to(dtype) for tokens in episode(shots=2))
    expected = matching(query.float(), support.float())
    assert expected.dtype == torch.float32
    torch.testing.assert_close(matching(query, support), expected, rtol=0, atol=0)
    torch.testing.assert_close(matching(query, support.float()), expected, rtol=0, atol=0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(matching(query, support), expected, rtol=0, atol=0)
        torch.testing.assert_close(matching(query.float(), support.float()), expected, rtol=0, atol=0)
    query.requires_grad_()
    matching(query, support).sum().backward()
    assert query.grad.dtype == dtype
    assert query.grad.isfinite().all()


SHAPES = dict(query=(2, 3, 5, 6), support=(2, 4, 1, 5, 6))


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (dict(query=(3, 5, 6)), r'query must have shape \[B, Q, T, D\], but has \[3, 5, 6\]'),
        (
            dict(support=(4, 1, 5, 6)),
            r'support must have shape \[B, N, K, T, D\], or \[B, Q, N, K, T, D\] .* \[4, 1, 5, 6\]',
        ),
        (
            dict(support=(3, 4, 1, 5, 6)),
            r'agree in B \(episodes\), but got query .* = \[2, 3, 5, 6\], support .* = \[3, 4, 1, 5, 6\]',
        ),
        (dict(support=(2, 4, 1, 5, 7)), r'agree in D \(feature width\), but got .* = \[2, 4, 1, 5, 7\]'),
        (
            dict(support=(2, 2, 4, 1, 5, 6)),
            r'agree in Q \(queries\), but got .* \[B, Q, N, K, T, D\] = \[2, 2, 4, 1, 5, 6\]',
        ),
        (
            dict(support=(2, 0, 1, 5, 6)),
            r'ways, shots, frames and features cannot be empty, but got .*\[2, 0, 1, 5, 6\]',
        ),
        (dict(query=(2, 3, 0, 6)), r'cannot be empty, but got query \[B, Q, T, D\] = \[2, 3, 0, 6\]'),
    ],
)
def test_refuses_shapes(matching: BaseMatching, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    shapes = {**SHAPES, **shapes}
    with pytest.raises(ValueError, match=f'{type(matching).__name__}: .*{message}'):
        matching(torch.rand(shapes['query']), torch.rand(shapes['support']))


def test_refuses_masks(matching: BaseMatching) -> None:
    query, support = episode()
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    with pytest.raises(TypeError, match=r'query_mask must be boolean, .* is torch.float32. Pass mask.bool\(\)'):
        matching(query, support, mask.float())
    with pytest.raises(ValueError, match=r'support_mask .* without D, \[2, 4, 1, 5\], but has \[2, 3, 5\]'):
        matching(query, support, mask, mask)
    mask[1, 2] = False
    with pytest.raises(ValueError, match=r'at least \d valid frame\(s\), but one of the videos of shape .* has 0'):
        matching(query, support, mask)
    with pytest.raises(TypeError, match=r'query must be floating point, but is torch\.int64'):
        matching(query.long(), support)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='OTAM', smoothing=0), 'OTAM: smoothing must be positive, but is 0'),
        (dict(type='OTAM', eps=-1), 'OTAM: eps must not be negative, but is -1'),
        (dict(type='BiMHM', eps=-1), 'BiMHM: eps must not be negative, but is -1'),
        (dict(type='BiMHM', reduction='max'), "BiMHM: reduction must be 'sum' or 'mean', but is 'max'"),
        (dict(type='CosineMatching', eps=-1), 'CosineMatching: eps must not be negative, but is -1'),
        (dict(type='TRX', in_channels=4, cardinalities=()), r'cardinalities must be different numbers, but are \(\)'),
        (dict(type='TRX', in_channels=4, cardinalities=(2, 2)), r'must be different numbers, but are \(2, 2\)'),
        (dict(type='TRX', in_channels=4, cardinalities=(2, 9)), r'between 1 and num_frames=8, but are \(2, 9\)'),
        (dict(type='TRX', in_channels=4, cardinalities=(0,)), r'between 1 and num_frames=8, but are \(0,\)'),
        (dict(type='TupleMatching', cardinalities=()), r'cardinalities must be different numbers, but are \(\)'),
        (dict(type='TupleMatching', cardinalities=(3, 3)), r'must be different numbers, but are \(3, 3\)'),
        (dict(type='TupleMatching', cardinalities=(1, 17)), r'between 1 and num_frames=16, but are \(1, 17\)'),
        (dict(type='TupleMatching', cardinalities=(0,)), r'between 1 and num_frames=16, but are \(0,\)'),
    ],
)
def test_refuses_settings(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


class Own(BaseMatching):
    """A metric that somebody wrote."""

    def __init__(self, described: object, axes: int) -> None:
        super().__init__()
        self.described, self.axes = described, axes

    def describe(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
        return dict(tokens=tokens) if self.described is dict else tokens

    def compare(self, query: dict[str, torch.Tensor], support: dict[str, torch.Tensor]) -> torch.Tensor:
        sizes = (*query['tokens'].shape[:2], *support['tokens'].shape[1:3])
        return torch.zeros(sizes[: self.axes])


def test_own_metric_that_describes_no_dict_is_told_so() -> None:
    with pytest.raises(TypeError, match=r'Own\.describe must return tensors by name, such as dict\(.*got Tensor'):
        Own(torch.Tensor, 4)(*episode())


@pytest.mark.parametrize(
    ('more', 'error', 'told'),
    [
        (8, TypeError, "'more' is int"),
        (torch.ones(8), ValueError, r"'more' has shape \[8\]"),
        (torch.ones(9, 8), ValueError, r"'more' has shape \[9, 8\]"),  # a bank would find a row for every video
    ],
)
def test_own_metric_that_describes_more_than_videos_is_told_so(more: object, error: type, told: str) -> None:
    own = Own(dict, 4)
    own.describe = lambda tokens, mask: dict(tokens=tokens, more=more)
    with pytest.raises(error, match=told):
        own(*episode())


def test_own_metric_of_another_shape_is_told_so() -> None:
    query, support = episode(queries=5, batch=5)
    assert Own(dict, 4)(query, support).shape == (5, 5, support.shape[1])
    with pytest.raises(ValueError, match=r'Own\.compare must return \[B, Q, N, K\].*but returned \[5, 5, \d\]'):
        Own(dict, 3)(query, support)
