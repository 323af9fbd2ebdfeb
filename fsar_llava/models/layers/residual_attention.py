"""Pre-norm multi-head attention that starts as the identity."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .thin_products import attention_read, attention_scores


class ResidualAttention(nn.Module):
    """``x + Attention(q = LN x, kv = LN context)``; self-attention where there is no context.

    The output projection starts at zero, so that the block starts as the identity. No projection has a bias: the
    softmax cancels one of the keys, and without one of the output a token that finds no valid key stays as it is.

    Args:
        channels: D.
        num_heads: h, a divisor of D.
        cross: Whether keys and values come from a context, which then has a LayerNorm of its own.

    Raises:
        ValueError: If ``num_heads`` does not divide ``channels``.
    """

    def __init__(self, channels: int, num_heads: int = 8, *, cross: bool = False) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(
                f'num_heads must divide channels, but num_heads={num_heads} and channels={channels}. '
                'Change one of them in the config.'
            )
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(channels)
        self.norm_context = nn.LayerNorm(channels) if cross else None
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        position: Tensor | None = None,
        mean_dim: int | None = None,
    ) -> Tensor:
        """Let every token of ``x`` read the valid tokens of the context.

        Args:
            x: ``[*, M, D]`` with at least one leading dimension.
            context: ``[*, S, D]``, for cross-attention only.
            mask: ``[*, S]`` True = valid key (``[*, M]`` for self-attention); None if every one is.
            position: ``[M, D]`` added to ``LN x``: the attention sees it, the residual path does not.
            mean_dim: A leading dimension over which the result is averaged; None for none.

        Returns:
            ``[*, M, D]``, without the dimension ``mean_dim``.
        """
        normed = self.norm(x)
        if position is not None:
            normed = normed + position
        source = normed if self.norm_context is None else self.norm_context(context)
        attended = self._attend(self.queries(normed), *self.keys_values(source), mask)
        attended = rearrange(attended, '... h m d -> ... m (h d)')
        if mean_dim is not None:  # before the output projection: it is linear, and has fewer tokens to do
            # Not mean(): its gradient would be written out for every token, in order to divide it there.
            x, attended = (tensor.sum(mean_dim) / tensor.shape[mean_dim] for tensor in (x, attended))
        return x + self.output(attended)

    def queries(self, normed: Tensor) -> Tensor:
        """Normalised tokens ``[*, M, D]`` to queries ``[*, h, M, d]``."""
        return self._split_heads(self.query(normed))

    def keys_values(self, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised tokens ``[*, S, D]`` to keys and values, ``[*, h, S, d]`` each."""
        keys, values = self.key_value(normed).chunk(2, dim=-1)
        return self._split_heads(keys), self._split_heads(values)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, '... m (h d) -> ... h m d', h=self.num_heads)

    @staticmethod
    def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Attention ``[*, h, M, d]`` over the valid keys, zero where there is none."""
        leading = query.shape[:-3]
        # PyTorch has fast kernels for exactly four dimensions.
        query, keys, values = (tensor.flatten(0, -4) for tensor in (query, keys, values))
        # For few keys the fused kernel is slow on a CPU, and scores smaller than what is compared save no memory.
        few = keys.device.type == 'cpu' and keys.shape[-2] <= keys.shape[-1]
        attention = _attend_to_few if few else F.scaled_dot_product_attention
        if mask is None:
            return attention(query, keys, values).unflatten(0, leading)
        mask = mask.flatten(0, -2)
        # The softmax over no key at all is undefined: where nothing is valid, look at everything and drop the result.
        empty = ~mask.any(-1, keepdim=True)
        visible = rearrange(mask | empty, 'v s -> v 1 1 s')
        attended = attention(query, keys, values, attn_mask=visible)
        return attended.masked_fill(rearrange(empty, 'v 1 -> v 1 1 1'), 0).unflatten(0, leading)


def _attend_to_few(query: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """``scaled_dot_product_attention`` with the keys in front, so that the softmax sums long rows."""
    score = attention_scores(keys, query * query.shape[-1] ** -0.5)
    if attn_mask is not None:
        score = score.masked_fill(~attn_mask.mT, float('-inf'))
    return attention_read(score.softmax(-2), values)
