"""From ragged texts and hidden states to the tokens of a video."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor


def pad_texts(ids: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """``[V, n, L]`` from the token ids of up to n texts per video.

    The padding is token 0, on the right; in a causal decoder nothing valid ever sees it. A video with fewer texts
    repeats its last one.
    """
    num = max(len(texts) for texts in ids)
    length = max(len(text) for texts in ids for text in texts)
    padded = torch.zeros(len(ids), num, length, dtype=torch.long)
    for video, texts in enumerate(ids):
        for place, text in enumerate(texts):
            padded[video, place, : len(text)] = torch.tensor(text)
        padded[video, len(texts) :] = padded[video, len(texts) - 1]
    return padded


def select_spans(states: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens ``start <= k < stop`` of each row, moved to the left.

    Args:
        states: ``[R, S, D]``.
        spans: ``[R, 2]`` start and stop.

    Returns:
        ``[R, L, D]``, zero where masked, and the mask ``[R, L]``.
    """
    start, stop = spans[:, :1], spans[:, 1:]
    position = start + torch.arange(int((stop - start).max()), device=states.device)
    mask = position < stop
    index = rearrange(position.clamp(max=states.shape[1] - 1), 'r l -> r l 1').expand(-1, -1, states.shape[2])
    return states.gather(1, index).masked_fill(~mask.unsqueeze(-1), 0), mask


def pool_patches(states: Tensor, grid: int | None, *, keep_cls: bool) -> Tensor:
    """Average the patches of each frame to ``grid x grid``.

    Args:
        states: ``[V, T, 1+P', D]``, the CLS token first, then ``P'`` patches row by row.
        grid: A divisor of the side of the patch grid, or None to keep all patches.
        keep_cls: Whether the CLS token stays, in front.

    Returns:
        ``[V, T, P, D]``.
    """
    cls, patches = states[:, :, :1], states[:, :, 1:]
    if grid is not None:
        size = round(patches.shape[2] ** 0.5) // grid
        cells = 'v t (gh h gw w) d -> v t (gh gw) d'
        patches = reduce(patches, cells, 'mean', gh=grid, gw=grid, h=size, w=size)
    return torch.cat([cls, patches], dim=2) if keep_cls else patches
