"""The global part of composite task-oriented prototypes."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from fsar_llava.models.layers import ResidualAttention, masked_mean


class GlobalEnhancement(nn.Module):
    """The classes of the task and one query, a token each, read each other [R].

    ``g = [mean_M P_1 .. mean_M P_N, mean_M F^q]``, ``g' = g + SelfAttn(LN g)``, ``P_glo = P_c + broadcast g'_c``, of
    which ``W_glo P_glo`` is returned; ``W_glo`` is the global half of W and starts at zero.

    Args:
        channels: D.
        num_heads: h, a divisor of D.
    """

    def __init__(self, channels: int, num_heads: int = 8) -> None:
        super().__init__()
        self.attention = ResidualAttention(channels, num_heads)
        self.merge = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.merge.weight)

    def forward(
        self,
        prototype: Tensor,
        query: Tensor,
        prototype_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
    ) -> Tensor:
        """What the global part adds to each prototype for each query.

        Args:
            prototype: P_c ``[B, N, M, D]``.
            query: F^q ``[B, Q, S, D]``.
            prototype_mask: ``[B, N, M]`` True = valid; None with ``query_mask`` if every token is. A class or query
                without a valid token is hidden from the others.
            query_mask: ``[B, Q, S]``.

        Returns:
            ``[B, Q, N, M, D]``.
        """
        classes = masked_mean(prototype, prototype_mask, dim=2)
        tokens = _join_task(classes, masked_mean(query, query_mask, dim=2))
        mask = None if query_mask is None else _join_task(prototype_mask.any(-1, True), query_mask.any(-1, True))
        task = self.attention(tokens, mask=None if mask is None else mask[..., 0])
        # W_glo is applied to P_c once for each class and to g' once for each pair, then added up.
        return self.merge(prototype)[:, None] + self.merge(task[:, :, :-1])[..., None, :]


def _join_task(classes: Tensor, query: Tensor) -> Tensor:
    """``[B, N, D]`` and ``[B, Q, D]`` to ``[B, Q, N + 1, D]``: for each query all classes, then itself."""
    spread = repeat(classes, 'b n d -> b q n d', q=query.shape[1])
    return torch.cat([spread, rearrange(query, 'b q d -> b q 1 d')], dim=2)
