"""Products of attention, against sums that are written out."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.models.layers import attention_read, attention_scores

SHAPES = [(1, 1), (1, 4), (5, 1), (5, 4)]


@pytest.mark.parametrize(('keys', 'queries'), SHAPES)
@pytest.mark.parametrize('broadcast', [False, True])
def test_scores(keys: int, queries: int, broadcast: bool) -> None:
    one = torch.randn(2, 3, keys, 6, dtype=torch.double, requires_grad=True)
    other = torch.randn(1 if broadcast else 2, 3, queries, 6, dtype=torch.double, requires_grad=True)
    expected = torch.einsum('bhsd,bhmd->bhsm', one, other.expand(2, -1, -1, -1))
    torch.testing.assert_close(attention_scores(one, other), expected)
    assert torch.autograd.gradcheck(attention_scores, (one, other))


@pytest.mark.parametrize(('keys', 'queries'), SHAPES)
@pytest.mark.parametrize('broadcast', [False, True])
def test_read(keys: int, queries: int, broadcast: bool) -> None:
    weight = torch.randn(2, 3, keys, queries, dtype=torch.double, requires_grad=True)
    values = torch.randn(1 if broadcast else 2, 3, keys, 6, dtype=torch.double, requires_grad=True)
    expected = torch.einsum('bhsm,bhsd->bhmd', weight, values.expand(2, -1, -1, -1))
    torch.testing.assert_close(attention_read(weight, values), expected)
    assert torch.autograd.gradcheck(attention_read, (weight, values))
