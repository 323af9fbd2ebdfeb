"""The local part of composite task-oriented prototypes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fsar_llava.models.layers import ResidualAttention

from .paired_attention import paired_attention


class LocalEnhancement(nn.Module):
    """Every token of a prototype reads the tokens of its class and of one query [R].

    ``P_loc = P_c + CrossAttn(q = LN P_c, kv = LN [P_c ; F^q])``, of which ``W_loc P_loc`` is returned; ``W_loc`` is the
    local half of W and starts at zero.

    Args:
        channels: D.
        num_heads: h, a divisor of D.
        merge: Whether there is W_loc. Without it ``P_loc - P_c`` is returned, what the attention adds.
    """

    def __init__(self, channels: int, num_heads: int = 8, *, merge: bool = True) -> None:
        super().__init__()
        self.attention = ResidualAttention(channels, num_heads, cross=True)
        self.merge = nn.Linear(channels, channels, bias=False) if merge else None
        if merge:
            nn.init.zeros_(self.merge.weight)

    def forward(
        self,
        prototype: Tensor,
        query: Tensor,
        prototype_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """What the local part adds to each prototype.

        Args:
            prototype: P_c ``[B, N, M, D]``.
            query: F^q ``[B, Q, S, D]``.
            prototype_mask: ``[B, N, M]`` True = valid; None if every token is.
            query_mask: ``[B, Q, S]``, the same for the query.

        Returns:
            ``[B, N, M, D]`` whatever the query, None without W_loc; and ``[B, Q, N, M, D]`` for each query.
        """
        attention = self.attention
        attended = paired_attention(
            attention.queries(attention.norm(prototype)),
            attention.keys_values(attention.norm_context(prototype)),
            attention.keys_values(attention.norm_context(query)),
            prototype_mask,
            query_mask,
        )
        if self.merge is None:
            return None, attention.output(attended)
        # W_loc (P_c + O a) = W_loc P_c + (W_loc O) a: one product for each pair instead of two.
        return self.merge(prototype), F.linear(attended, self.merge.weight @ attention.output.weight)
