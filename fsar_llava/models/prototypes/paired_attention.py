"""Attention of the tokens of each class to some of their own and to those of each query."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from fsar_llava.models.layers import attention_read, attention_scores


def paired_attention(
    asking: Tensor,
    own: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
    own_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """For each pair of a class and a query, attention to what the class has and to what the query has.

    The softmax over both sets of keys is a mixture of one over each of them, which weigh as their sums of exponentials.
    So what a class reads of its own is read once and not for each query, and nothing is copied for each pair.

    Args:
        asking: The classes' attention queries ``[B, N, h, M, d]``.
        own: The classes' keys and values ``[B, N, h, R, d]``.
        other: The queries' keys and values ``[B, Q, h, S, d]``.
        own_mask: ``[B, N, R]`` True = valid; None if every key is.
        other_mask: ``[B, Q, S]``, the same for the queries' keys.

    Returns:
        ``[B, Q, N, M, h d]``; where neither side has a valid key, anything finite.
    """
    (own_key, own_value), (key, value) = own, other
    num_queries, num_ways = key.shape[1], asking.shape[1]
    asking = asking * asking.shape[-1] ** -0.5

    # Keys come before what asks: sums over the few keys are then sums of long rows.
    own_score = _hide(attention_scores(own_key, asking), own_mask, 'b n r -> b n 1 r 1')
    own_read = rearrange(attention_read(own_score.softmax(-2), own_value), 'b n h m d -> b h 1 (n m) d')
    own_total = rearrange(own_score.logsumexp(-2), 'b n h m -> b h 1 (n m)')

    score = rearrange(key, 'b q h s d -> b h (q s) d') @ rearrange(asking, 'b n h m d -> b h d (n m)')
    score = _hide(score.unflatten(2, (num_queries, key.shape[3])), other_mask, 'b q s -> b 1 q s 1')
    highest = score.detach().amax(-2)
    weight = (score - highest[..., None, :]).exp()
    total = weight.sum(-2)

    # Of what is read a share comes from the query: the sum of exponentials of its keys / that of all keys.
    share = torch.sigmoid(highest + total.log() - own_total)
    read = attention_read(weight * (share / total)[..., None, :], rearrange(value, 'b q h s d -> b h q s d'))
    mixed = torch.addcmul(read, own_read, (1 - share)[..., None])
    return rearrange(mixed, 'b h q (n m) d -> b q n m (h d)', n=num_ways)


def _hide(score: Tensor, mask: Tensor | None, shape: str) -> Tensor:
    if mask is None:
        return score
    return score.masked_fill(~rearrange(mask, shape), torch.finfo(score.dtype).min)
