"""The mean of a video's valid frames."""

from __future__ import annotations

from torch import Tensor


def mean_frame(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over valid frames.

    Args:
        tokens: ``[*, T, D]``, zero where masked.
        mask: ``[*, T]``, True for a valid frame, at least one in each video. None: all are.

    Returns:
        ``[*, D]``.
    """
    return tokens.mean(-2) if mask is None else tokens.sum(-2) / mask.sum(-1, keepdim=True)
