"""The global part of composite task-oriented prototypes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fsar_llava.models.layers import ResidualAttention, masked_mean

from .paired_attention import paired_attention


class GlobalEnhancement(nn.Module):
    """The classes of the task and one query, a token each, read each other [R].

    ``g = [mean_M P_1 .. mean_M P_N, mean_M F^q]``, ``g' = g + SelfAttn(LN g)``, ``P_glo = P_c + broadcast g'_c``, of
    which ``W_glo P_glo`` is returned; ``W_glo`` is the global half of W and starts at zero.

    Args:
        channels: D.
        num_heads: h, a divisor of D.
        merge: Whether there is W_glo. Without it ``g'_c - g_c`` is returned, what the attention adds.
    """

    def __init__(self, channels: int, num_heads: int = 8, *, merge: bool = True) -> None:
        super().__init__()
        self.attention = ResidualAttention(channels, num_heads)
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
        """What the global part adds to each prototype.

        Args:
            prototype: P_c ``[B, N, M, D]``.
            query: F^q ``[B, Q, S, D]``.
            prototype_mask: ``[B, N, M]`` True = valid; None if every token is. A class or query without a valid token
                is hidden from the others.
            query_mask: ``[B, Q, S]``, the same for the query.

        Returns:
            ``[B, N, M, D]`` whatever the query, None without W_glo; and ``[B, Q, N, 1, D]`` for each query.
        """
        attention = self.attention
        classes = masked_mean(prototype, prototype_mask, dim=2)
        task = attention.norm(classes)[:, None]  # the classes are the tokens of a single thing that asks
        single = attention.norm(masked_mean(query, query_mask, dim=2))[:, :, None]
        attended = paired_attention(
            attention.queries(task),
            attention.keys_values(task),
            attention.keys_values(single),
            None if prototype_mask is None else prototype_mask.any(-1)[:, None],
            None if query_mask is None else query_mask.any(-1, keepdim=True),
        )
        if self.merge is None:
            return None, attention.output(attended).transpose(2, 3)
        conditioned = F.linear(attended, self.merge.weight @ attention.output.weight)
        return self.merge(prototype + classes[:, :, None]), conditioned.transpose(2, 3)
