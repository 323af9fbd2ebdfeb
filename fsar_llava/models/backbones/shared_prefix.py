"""Many texts behind one video, at the cost of the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor

if TYPE_CHECKING:
    from transformers import Cache, VideoLlavaModel


def run_suffixes(model: VideoLlavaModel, cache: Cache, ids: Tensor) -> Tensor:
    """Hidden states ``[V, n, L, D]`` of n texts ``[V, n, L]`` per video, each directly behind the video.

    The words that all texts of a video begin with run once. The rest of them stands in one sequence behind the same
    keys and values, which are neither copied per text nor changed by the call.
    """
    past, num = cache.get_seq_length(), ids.shape[1]
    shared = _shared_length(ids)
    parts = []
    if shared:
        parts.append(repeat(_run(model, cache, ids[:, :1, :shared]), 'v 1 l d -> v n l d', n=num))
    parts.append(_run(model, cache, ids[:, :, shared:]))
    cache.crop(past - cache.get_seq_length())
    return torch.cat(parts, dim=2)


def _shared_length(ids: Tensor) -> int:
    """How many tokens each text shares with all others of its video, of every video; fewer than a text has."""
    if ids.shape[1] == 1:
        return 0
    equal = (ids == ids[:, :1]).all(1).all(0)
    return int(equal[:-1].long().cumprod(0).sum())


def _run(model: VideoLlavaModel, cache: Cache, ids: Tensor) -> Tensor:
    """Hidden states ``[V, n, L, D]`` of texts ``[V, n, L]``, whose keys and values the cache takes up."""
    num, length = ids.shape[1:]
    past = cache.get_seq_length()
    words = model.get_input_embeddings()(rearrange(ids, 'v n l -> v (n l)').to(model.device))
    positions = repeat(torch.arange(past, past + length, device=words.device), 'l -> 1 (n l)', n=num)
    output = model.language_model(
        inputs_embeds=words,
        position_ids=positions,
        attention_mask=_suffix_mask(past, num, length, words),
        past_key_values=cache,
        use_cache=True,
    )
    return rearrange(output.last_hidden_state, 'v (n l) d -> v n l d', n=num)


def _suffix_mask(past: int, num: int, length: int, like: Tensor) -> Tensor:
    """``[1, 1, n*L, past + n*L]`` added to attention scores: all of the past, and earlier tokens of the same text."""
    token = torch.arange(num * length, device=like.device)
    text = token // length
    visible = (token[:, None] >= token) & (text[:, None] == text)
    mask = torch.zeros(num * length, past + num * length, dtype=like.dtype, device=like.device)
    mask[:, past:].masked_fill_(~visible, torch.finfo(like.dtype).min)
    return rearrange(mask, 'q k -> 1 1 q k')
