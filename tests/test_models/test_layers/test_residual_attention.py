import pytest
import torch

from fsar_llava.models.layers import ResidualAttention

from .loops import attention, names_with_gradient, numbers, perturb, random

MASK = torch.tensor([[True, True, False, True, False], [True] * 5, [False, False, False, False, True]])


def make(cross, num_heads=2):
    return perturb(ResidualAttention(8, num_heads, cross=cross))


@pytest.mark.parametrize('num_heads', [1, 2, 8])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('cross', [False, True])
def test_equals_plain_loops(cross, masked, num_heads):
    block, x = make(cross, num_heads), random(3, 4 if cross else 5, 8)
    context, mask = random(3, 5, 8, seed=1) if cross else None, MASK if masked else None
    result = block(x, context, mask=mask)
    for video in range(3):
        other = None if context is None else numbers(context[video])
        expected = attention(block, numbers(x[video]), other, None if mask is None else mask[video])
        torch.testing.assert_close(result[video], torch.tensor(expected))


def test_position_is_seen_by_the_attention_only():
    block, x, position = make(cross=False), random(2, 4, 8), random(4, 8, seed=1)
    result = block(x, position=position)
    for video in range(2):
        expected = attention(block, numbers(x[video]), position=numbers(position))
        torch.testing.assert_close(result[video], torch.tensor(expected))
    torch.nn.init.zeros_(block.output.weight)
    assert torch.equal(block(x, position=position), x)


def test_any_leading_dimensions():
    block, x, context = make(cross=True), random(2, 3, 4, 8), random(2, 3, 5, 8, seed=1)
    mask = torch.stack([MASK, MASK.flip(0)])
    flat = block(x.flatten(0, 1), context.flatten(0, 1), mask=mask.flatten(0, 1))
    torch.testing.assert_close(block(x, context, mask=mask).flatten(0, 1), flat)


@pytest.mark.parametrize('cross', [False, True])
def test_is_the_identity_at_initialisation(cross):
    x = random(2, 4, 8).float()
    assert torch.equal(ResidualAttention(8, cross=cross)(x, random(2, 3, 8, seed=1).float()), x)


def test_a_row_without_valid_keys_stays_and_has_finite_gradients():
    block, x, context = make(cross=True), random(3, 4, 8).requires_grad_(), random(3, 5, 8, seed=1).requires_grad_()
    mask = MASK.clone()
    mask[1] = False
    result = block(x, context, mask=mask)
    assert torch.equal(result[1], x[1])
    assert not torch.allclose(result[0], x[0])
    result.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in (x, context, *block.parameters()))
    assert (context.grad[1] == 0).all()
    assert (context.grad[~mask] == 0).all()
    assert (context.grad[0][mask[0]] != 0).all()
    torch.testing.assert_close(x.grad[1], 2 * x[1])


def test_only_the_output_learns_at_first_then_everything():
    block, x = ResidualAttention(8, 2, cross=True).double(), random(2, 4, 8)

    def backward():
        block.zero_grad()
        (block(x, random(2, 3, 8, seed=1)) * random(2, 4, 8, seed=2)).sum().backward()

    backward()
    assert names_with_gradient(block) == {'output.weight'}
    perturb(block)
    backward()
    assert names_with_gradient(block) == {name for name, _ in block.named_parameters()}


def test_gradcheck():
    block, x, context = make(cross=True), random(2, 2, 8).requires_grad_(), random(2, 5, 8, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: block(x, c, mask=MASK[:2]), (x, context))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_low_precision(dtype):
    block, x = make(cross=True), random(3, 4, 8)
    context = random(3, 5, 8, seed=1)
    expected = block(x, context, mask=MASK)
    result = block.to(dtype)(x.to(dtype), context.to(dtype), mask=MASK)
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), expected, atol=0.2 if dtype == torch.bfloat16 else 1e-5, rtol=0.05)


@pytest.mark.parametrize('num_heads', [0, 3])
def test_heads_must_divide_channels(num_heads):
    with pytest.raises(ValueError, match=f'num_heads={num_heads} and channels=8'):
        ResidualAttention(8, num_heads)
