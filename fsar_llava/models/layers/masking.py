"""Tokens of which some are padding."""

from __future__ import annotations

from torch import Tensor


def fill_padding(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padded tokens, so that whatever stood there (even NaN) reaches neither results nor gradients.

    Args:
        tokens: ``[*, M, D]``.
        mask: ``[*, M]`` True = valid; None if every token is.
    """
    return tokens if mask is None else tokens.masked_fill(~mask[..., None], 0)


def masked_mean(tokens: Tensor, mask: Tensor | None, dim: int) -> Tensor:
    """Mean of the valid tokens along one dimension; zero where there is none.

    Args:
        tokens: ``[*, D]``.
        mask: ``[*]`` True = valid; None if every token is.
        dim: The dimension to average, counted in ``tokens``.
    """
    if mask is None:
        return tokens.mean(dim)
    count = mask[..., None].sum(dim).clamp(min=1)
    return fill_padding(tokens, mask).sum(dim) / count
