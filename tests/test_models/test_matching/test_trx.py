"""TRX: reference numbers, plain loops over tuples, shots together, time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fsar_llava.models.matching import TRX
from fsar_llava.models.matching.tuples import PAIRS

from . import oracles
from .episodes import episode, random_mask


def build(cardinalities: tuple[int, ...] = (2, 3), width: int = 6, **kwargs: float) -> TRX:
    torch.manual_seed(1)
    matching = TRX(width, cardinalities, out_channels=7, **kwargs).double().eval()
    for projection in matching.projections.values():
        torch.nn.init.normal_(projection.norm.weight)
        torch.nn.init.normal_(projection.norm.bias)
    return matching


def expected(matching: TRX, query: Tensor, support: Tensor, masks: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """``[B, Q, N]`` by loops, mean over cardinalities."""
    result = torch.zeros(query.shape[0], query.shape[1], support.shape[1], dtype=torch.float64)
    for b, q, n in torch.cartesian_prod(*(torch.arange(size) for size in result.shape)).tolist():
        video = oracles.valid(query[b, q], None if masks is None else masks[0][b, q])
        shots = [
            oracles.valid(shot, None if masks is None else masks[1][b, n, k]) for k, shot in enumerate(support[b, n])
        ]
        for size, layers in matching.projections.items():
            parameters = {
                name: (getattr(layers, name).weight.detach(), getattr(layers, name).bias.detach())
                for name in ('key', 'value', 'norm')
            }
            distance = oracles.trx(video, shots, cardinality=int(size), **parameters)
            result[b, q, n] += distance / len(matching.projections)
    return result


def test_reference_numbers() -> None:
    """Logits of public code for two ways of one shot, with its encoding of time; no dropout."""
    matching = TRX(4, (2,), out_channels=2, num_frames=3, position_scale=0.1).eval()
    weight = torch.arange(16.0) / 10
    layers = matching.projections['2']
    with torch.no_grad():
        layers.key.weight.copy_(weight.view(2, 8))
        layers.value.weight.copy_(weight.flip(0).view(2, 8))
        layers.key.bias.zero_()
        layers.value.bias.zero_()
    support = torch.sin(torch.arange(24.0) / 10).view(1, 2, 1, 3, 4)
    query = torch.cos(torch.arange(12.0) / 10).view(1, 1, 3, 4)
    torch.testing.assert_close(-matching(query, support)[0, 0], torch.tensor([-15.6362, -1.5059]), rtol=0, atol=1e-4)


@pytest.mark.parametrize('cardinalities', [(2,), (3,), (1,), (2, 3), (4, 1, 2)])
@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize('frames', [(5, 5), (4, 6)])
def test_equals_plain_loops(cardinalities: tuple[int, ...], shots: int, frames: tuple[int, int]) -> None:
    matching = build(cardinalities, position_scale=0)
    query, support = episode(shots=shots, frames=frames, queries=2, ways=3)
    torch.testing.assert_close(matching(query, support), expected(matching, query, support))


def test_single_precision_keeps_its_digits_for_near_videos() -> None:
    query, support = episode(width=64, frames=(8, 8))
    support[:, 0, 0] = query[:, 0] + 1e-2 * support[:, 0, 0]
    torch.manual_seed(0)
    matching = TRX(64, (1, 2, 3), out_channels=128).double().eval()
    for projection in matching.projections.values():  # sharp attention: each tuple finds its twin
        torch.nn.init.constant_(projection.norm.weight, 4)
    exact = matching(query, support)
    assert exact[0, 0, 0] < 1e-3 * exact.max()
    torch.testing.assert_close(matching.float()(query.float(), support.float()).double(), exact, rtol=1e-3, atol=1e-5)


def test_tuples_with_a_masked_frame_are_dropped() -> None:
    matching = build(position_scale=0)
    query, support = episode(shots=2, frames=(5, 6))
    masks = random_mask(query, least=3), random_mask(support, least=3, seed=1)
    oracle = expected(matching, query, support, masks)
    query[~masks[0]], support[~masks[1]] = float('nan'), float('inf')
    torch.testing.assert_close(matching(query, support, *masks), oracle)


def test_shots_of_a_class_are_attended_to_together() -> None:
    matching = build()
    query, support = episode(shots=3)
    apart = torch.stack([matching(query, support[:, :, k : k + 1]) for k in range(3)]).mean(0)
    assert not torch.allclose(matching(query, support), apart)


def test_encoding_of_time() -> None:
    """Sines and cosines of frequencies 1 and 1/100, for an odd width as well; sees the place of equal frames."""
    query, support = episode(width=3, frames=(3, 3))
    time = torch.arange(3, dtype=torch.float64)
    slow = time * 10000 ** (-2 / 3)
    encoding = 0.5 * torch.stack((time.sin(), time.cos(), slow.sin()), -1)
    matching = build(width=3, position_scale=0.5)
    without = build(width=3, position_scale=0)
    torch.testing.assert_close(matching(query, support), without(query + encoding, support + encoding))
    assert not torch.allclose(matching(query, support), without(query, support))


@pytest.mark.parametrize('pairs', [1, 10 * 10 * 3 * 4 * 2, 10**9])
def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    """Memory is bounded: 10 tuples of 2 of 5 frames, by one, two or all episodes at a time."""
    matching = build(position_scale=0)
    query, support = episode(batch=5, shots=2)
    whole = expected(matching, query, support)
    monkeypatch.setitem(PAIRS, 'cpu', 2 * pairs)
    torch.testing.assert_close(matching(query, support), whole)


def test_order_matters() -> None:
    query, support = episode()
    matching = build(position_scale=0)
    assert matching.ordered
    assert not torch.allclose(matching(query, support), matching(query.flip(-2), support))


def test_trains() -> None:
    matching = build(dropout=0.5).train()
    query, support = episode()
    first, second = matching(query, support), matching(query, support)
    assert not torch.allclose(first, second)
    first.sum().backward()
    # A bias of all keys moves every score of a query tuple alike, and the softmax does not see it; keys are normalised.
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in matching.parameters())


def test_each_cardinality_drops_features_of_its_own() -> None:
    dropped = []
    matching = build(dropout=0.5, position_scale=0).train()
    matching.dropout.register_forward_hook(lambda module, inputs, output: dropped.append(output == 0))
    matching.prepare(torch.rand(3, 4, 6, dtype=torch.float64) + 1)
    assert len(dropped) == 2
    assert not torch.equal(*dropped)


def test_size_of_a_prepared_video() -> None:
    matching = TRX(6, out_channels=8)
    prepared = matching.prepare(torch.rand(2, 3, 8, 6))
    shapes = {name: tuple(tensor.shape) for name, tensor in prepared.items()}
    expected = {}
    for size, tuples, parts in ((2, 28, 2 * 7), (3, 56, 3 * 6)):
        expected |= {f'{name}_{size}': (2, 3, parts, 8) for name in ('key', 'value')}
        expected |= {f'{name}_{size}': (2, 3, tuples) for name in ('square', 'scale', 'offset')}
    assert shapes == expected


def test_parameters_at_full_size() -> None:
    """Per cardinality c: two maps of c*D+1 to 1152, one norm."""
    with torch.device('meta'):
        matching = TRX(2048)
    count = sum(parameter.numel() for parameter in matching.parameters())
    assert count == sum(2 * (size * 2048 + 1) * 1152 + 2 * 1152 for size in (2, 3))


def test_refuses_wrong_videos() -> None:
    matching = build()
    with pytest.raises(ValueError, match='TRX: in_channels is 6, but the frames have 5 features'):
        matching(*episode(width=5))
    with pytest.raises(ValueError, match=r'a video has 9 frames, more than num_frames=8\. Raise num_frames'):
        matching(*episode(frames=(5, 9)))
    with pytest.raises(ValueError, match=r'at least 3 valid frame\(s\), but one of the videos .* has 2'):
        matching(*episode(frames=(2, 5)))
    query, support = episode()
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0, 1, 2:] = False
    with pytest.raises(ValueError, match=r'at least 3 valid frame\(s\), but one of the videos .* has 2'):
        matching(query, support, mask)
