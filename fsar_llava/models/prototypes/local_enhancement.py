"""The local part of composite task-oriented prototypes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, einsum, nn

from fsar_llava.models.layers import ResidualAttention


class LocalEnhancement(nn.Module):
    """Every token of a prototype reads the tokens of its class and of one query [R].

    ``P_loc = P_c + CrossAttn(q = LN P_c, kv = LN [P_c ; F^q])``, of which ``W_loc P_loc`` is returned; ``W_loc`` is the
    local half of W and starts at zero.

    Args:
        channels: D.
        num_heads: h, a divisor of D.
    """

    def __init__(self, channels: int, num_heads: int = 8) -> None:
        super().__init__()
        self.attention = ResidualAttention(channels, num_heads, cross=True)
        self.merge = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.merge.weight)

    def forward(
        self,
        prototype: Tensor,
        query: Tensor,
        prototype_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
    ) -> Tensor:
        """What the local part adds to each prototype for each query.

        Args:
            prototype: P_c ``[B, N, M, D]``.
            query: F^q ``[B, Q, S, D]``.
            prototype_mask: ``[B, N, M]`` True = valid; None with ``query_mask`` if every token is.
            query_mask: ``[B, Q, S]``.

        Returns:
            ``[B, Q, N, M, D]``.
        """
        visible = None if query_mask is None else _pair_masks(prototype_mask, query_mask)
        attended = self._attend(prototype, query, visible)
        # W_loc (P_c + O a) = W_loc P_c + (W_loc O) a: one product for each pair instead of two.
        weight = self.merge.weight @ self.attention.output.weight
        return self.merge(prototype)[:, None] + F.linear(attended, weight)

    def _attend(self, prototype: Tensor, query: Tensor, visible: Tensor | None) -> Tensor:
        """The attention ``a [B, Q, N, M, D]`` before its output projection O.

        Nothing is copied for each pair of query and class but the M x (M + S) scores: that is several times faster than
        one attention call over keys and values spread to all pairs.
        """
        attention = self.attention
        asking = attention.queries(attention.norm(prototype))
        asking = asking * asking.shape[-1] ** -0.5
        # Keys and values are made once for each class and each query, not for each pair.
        own_key, own_value = attention.keys_values(attention.norm_context(prototype))
        key, value = attention.keys_values(attention.norm_context(query))
        own_score = repeat(einsum('bnhmd,bnhsd->bnhms', asking, own_key), 'b n h m s -> b q n h m s', q=query.shape[1])
        score = torch.cat([own_score, einsum('bnhmd,bqhsd->bqnhms', asking, key)], dim=-1)
        if visible is not None:
            score = score.masked_fill(~visible, torch.finfo(score.dtype).min)
        own_weight, weight = score.softmax(-1).split([own_key.shape[-2], key.shape[-2]], dim=-1)
        attended = einsum('bqnhms,bnhsd->bqnmhd', own_weight, own_value)
        attended = attended + einsum('bqnhms,bqhsd->bqnmhd', weight, value)
        return rearrange(attended, 'b q n m h d -> b q n m (h d)')


def _pair_masks(prototype_mask: Tensor, query_mask: Tensor) -> Tensor:
    """``[B, Q, N, 1, 1, M + S]`` which keys a prototype sees beside a query."""
    own = repeat(prototype_mask, 'b n m -> b q n 1 1 m', q=query_mask.shape[1])
    other = repeat(query_mask, 'b q s -> b q n 1 1 s', n=prototype_mask.shape[1])
    return torch.cat([own, other], dim=-1)
