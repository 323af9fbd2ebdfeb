"""Computation over queries in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fsar_llava.structures import VideoFeatures

Result = TypeVar('Result', Tensor, VideoFeatures, Mapping)


def map_queries(
    function: Callable[[VideoFeatures, VideoFeatures], Result],
    classes: VideoFeatures,
    query: VideoFeatures,
    *,
    chunk_size: int,
) -> Result:
    """Apply a function to a few queries at a time and join its results.

    While gradients are recorded, the activations inside ``function`` are computed anew in the backward pass if there is
    more than one chunk: memory stays bounded in training too, for one more forward pass.

    Args:
        function: ``function(classes, query)`` for some episodes and some of their queries; its result is a tensor,
            :class:`VideoFeatures` or mapping of tensors ``[B, Q, *]`` and must not depend on other queries or episodes.
        classes: Features with leading dimensions ``B, N``.
        query: Features with leading dimensions ``B, Q``.
        chunk_size: Number of queries at a time, whole episodes if several of them fit.
    """
    num_episodes, num_queries = query.visual.shape[:2]
    episodes = _even_size(num_episodes, max(1, chunk_size // max(1, num_queries)))
    queries = _even_size(num_queries, chunk_size)
    if torch.is_grad_enabled() and (episodes < num_episodes or queries < num_queries):
        inner = function

        def function(classes: VideoFeatures, query: VideoFeatures) -> Result:
            return checkpoint(inner, classes, query, use_reentrant=False)

    rows = []
    for episode in range(0, max(1, num_episodes), episodes):
        part = slice(episode, episode + episodes)
        chunks = [_columns(query[part], begin, begin + queries) for begin in range(0, max(1, num_queries), queries)]
        rows.append(_join([function(classes[part], chunk) for chunk in chunks], dim=1))
    return _join(rows, dim=0)


def _even_size(total: int, most: int) -> int:
    """The size of chunks of about equal size, as few as possible, none larger than ``most``."""
    return -(-total // -(-total // most)) if total else 1


def _columns(query: VideoFeatures, begin: int, end: int) -> VideoFeatures:
    return query.map(lambda tensor: tensor[:, begin:end])


def _join(parts: Sequence[Result], dim: int) -> Result:
    first = parts[0]
    if len(parts) == 1 or first is None:
        return first
    if isinstance(first, VideoFeatures):
        fields = ('visual', 'textual', 'textual_mask')
        return VideoFeatures(*(_join([getattr(part, field) for part in parts], dim) for field in fields))
    if isinstance(first, Mapping):
        return {name: _join([part[name] for part in parts], dim) for name in first}
    return torch.cat(parts, dim)
