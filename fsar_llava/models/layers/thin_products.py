"""The two products of an attention, fast where one side is a single token."""

from __future__ import annotations

from torch import Tensor


def attention_scores(keys: Tensor, query: Tensor) -> Tensor:
    """``keys @ query.mT``.

    Args:
        keys: ``[*, S, d]``.
        query: ``[*, M, d]``.

    Returns:
        ``[*, S, M]``.
    """
    if _is_thin(keys, query):
        return (keys * query).sum(-1).unflatten(-1, (keys.shape[-2], query.shape[-2]))
    return keys @ query.mT


def attention_read(weight: Tensor, values: Tensor) -> Tensor:
    """``weight.mT @ values``.

    Args:
        weight: ``[*, S, M]``.
        values: ``[*, S, d]``.

    Returns:
        ``[*, M, d]``.
    """
    if not _is_thin(weight.mT, values):
        return weight.mT @ values
    return weight.mT * values if values.shape[-2] == 1 else (weight * values).sum(-2, keepdim=True)


def _is_thin(one: Tensor, other: Tensor) -> bool:
    """Whether a side is a single token: a CPU multiplies such matrices one by one, which is slower than elementwise."""
    return one.device.type == 'cpu' and 1 in (one.shape[-2], other.shape[-2])
