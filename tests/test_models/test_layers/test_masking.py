import pytest
import torch

from fsar_llava.models.layers import fill_padding, masked_mean

MASK = torch.tensor([[True, False, True], [False, False, False]])


def test_padding_is_zeroed():
    tokens = torch.arange(12.0).reshape(2, 3, 2)
    expected = tokens.clone()
    expected[0, 1] = expected[1] = 0
    assert torch.equal(fill_padding(tokens, MASK), expected)
    assert fill_padding(tokens, None) is tokens


def test_mean_over_valid_tokens_is_zero_where_there_is_none():
    tokens = torch.tensor([[[1.0, 2], [50, 60], [3, 4]], [[7, 7], [8, 8], [9, 9]]])
    assert masked_mean(tokens, MASK, dim=1).tolist() == [[2, 3], [0, 0]]
    assert masked_mean(tokens, None, dim=1)[1].tolist() == [8, 8]


@pytest.mark.parametrize('dim', [0, 1])
def test_nan_in_padding_reaches_neither_values_nor_gradients(dim):
    tokens = torch.ones(2, 3, 2).masked_fill(~MASK[..., None], float('nan')).requires_grad_()
    mean = masked_mean(tokens, MASK, dim=dim)
    mean.sum().backward()
    assert mean.isfinite().all()
    assert tokens.grad.isfinite().all()
