"""One transformer layer over tokens of several sources, as CLIP-based few-shot methods share it."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class FusionLayer(nn.Module):
    """``x = q + Attention(LN q, LN context, LN context)``; ``x + FFN(x)``, the FFN with GELU.

    Queries, keys and values share one LayerNorm, and the FFN has none [C].

    Args:
        channels: D.
        num_heads: h, a divisor of D.
        ffn_channels: Width of the FFN.
        norm: Whether there is a LayerNorm before the attention.
        qkv_bias: Whether the projections to queries, keys and values have biases.
        attention_dropout: Dropout of the attention weights.
        output_dropout: Dropout of what the attention adds to the query.
        ffn_dropout: Dropout behind both linear layers of the FFN.
        zero_init: Whether the outputs of attention and FFN start at zero, so that the layer starts as the identity.

    Raises:
        ValueError: If ``num_heads`` does not divide ``channels``.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int = 8,
        ffn_channels: int = 2048,
        norm: bool = True,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        output_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(
                f'num_heads must divide channels, but num_heads={num_heads} and channels={channels}. '
                'Change one of them in the config.'
            )
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.query = nn.Linear(channels, channels, bias=qkv_bias)
        self.key_value = nn.Linear(channels, 2 * channels, bias=qkv_bias)
        self.output = nn.Linear(channels, channels)
        self.output_dropout = nn.Dropout(output_dropout)
        self.ffn = nn.Sequential(
            nn.Linear(channels, ffn_channels),
            nn.GELU(),
            nn.Dropout(ffn_dropout),
            nn.Linear(ffn_channels, channels),
            nn.Dropout(ffn_dropout),
        )
        if zero_init:
            for layer in (self.output, self.ffn[3]):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, context: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        """Let every query token read the valid tokens of the context.

        Args:
            query: ``[*, M, D]``.
            context: ``[*, S, D]``, keys and values; None for self-attention.
            mask: ``[*, S]`` True = valid; at least one of each row. None if every token is.

        Returns:
            ``[*, M, D]``.
        """
        normed = self.norm(query)
        keys, values = self.key_value(normed if context is None else self.norm(context)).chunk(2, dim=-1)
        heads = [rearrange(x, '... m (h d) -> ... h m d', h=self.num_heads) for x in (self.query(normed), keys, values)]
        visible = None if mask is None else rearrange(mask, '... s -> ... 1 1 s')
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(*heads, attn_mask=visible, dropout_p=dropout)
        fused = query + self.output_dropout(self.output(rearrange(attended, '... h m d -> ... m (h d)')))
        return fused + self.ffn(fused)
