"""The adapters that MA-FSAR puts around each block of a frozen vision transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

PATHS = ('frozen', 'adapted', 'none')


class Adapter(nn.Module):
    """``Up(GELU(Down(z)))`` [P]; ``Up`` starts at zero [R].

    Args:
        channels: Width of the tokens.
        hidden_channels: Width of the bottleneck.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, hidden_channels)
        self.up = nn.Linear(hidden_channels, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[*, W]`` to ``[*, W]``."""
        return self.up(F.gelu(self.down(tokens)))


class AdaptedBlock(nn.Module):
    """Adapts one frozen block of a vision transformer of width W to videos and class texts.

    The block [P]::

        global temporal:  z = CLS tokens of the T frames;  z_t = z + Adapter_T(MSA(LN z))         over time
        local:            u = [x ; z_t ; TextFC(text)]     the text for videos that have one; a TextFC a block [R]
                          u = u + path + Adapter_M(MSA(LN u)), keep the tokens of x
        joint:            y = u + MLP(LN u) + Adapter_J(LN u)

    MSA, MLP and LN are the frozen block's own. ``path`` is what keeps attention alive while the adapters are zero; the
    paper's equation does not show one:

    - ``'frozen'``: ``MSA(LN x)``, the block's attention among its own tokens, so that it starts as the frozen block
      exactly [R];
    - ``'adapted'``: ``MSA(LN u)``, an adapter with a skip connection, as image models are usually adapted to videos
      [R]. One attention fewer; starts near the frozen block;
    - ``'none'``: the equation as printed.

    Args:
        channels: W.
        hidden_channels: Width of the adapters' bottleneck.
        text_channels: Width of the text embedding.
        path: See above.
    """

    def __init__(self, channels: int, hidden_channels: int, text_channels: int, *, path: str = 'frozen') -> None:
        super().__init__()
        if path not in PATHS:
            raise ValueError(f'AdaptedBlock: path must be one of {PATHS}, but is {path!r}.')
        self.path = path
        self.temporal = Adapter(channels, hidden_channels)
        self.local = Adapter(channels, hidden_channels)
        self.joint = Adapter(channels, hidden_channels)
        self.text_fc = nn.Linear(text_channels, channels)

    def forward(
        self, tokens: Tensor, block: nn.Module, text: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Run the frozen block with its adapters.

        Args:
            tokens: x ``[V, T, S, W]``, CLS and patches of each frame.
            block: The frozen block, a transformers ``CLIPEncoderLayer``.
            text: ``[V, L, text_channels]`` or None.
            mask: ``[V, L]`` True where a video has this text.

        Returns:
            ``[V, T, S, W]``.
        """
        classes = tokens[:, :, 0]
        motion = classes + self.temporal(_attend(block, classes))
        context = [tokens, rearrange(motion, 'v t w -> v t 1 w')]
        if text is not None:
            context.append(repeat(self.text_fc(text), 'v l w -> v t l w', t=tokens.shape[1]))
        adapted = self._attend_frames(block, torch.cat(context, dim=2), mask)[:, :, : tokens.shape[2]]
        local = tokens + self.local(adapted)
        if self.path == 'frozen':
            local = local + self._attend_frames(block, tokens)
        elif self.path == 'adapted':
            local = local + adapted
        normed = block.layer_norm2(local)
        return local + block.mlp(normed) + self.joint(normed)

    @staticmethod
    def _attend_frames(block: nn.Module, tokens: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """``MSA(LN u)`` frame by frame; the last L tokens are hidden where ``text_mask [V, L]`` is False."""
        num_frames, num_tokens = tokens.shape[1:3]
        visible = None
        if text_mask is not None:
            visible = F.pad(text_mask, (num_tokens - text_mask.shape[1], 0), value=True)
            visible = repeat(visible, 'v s -> (v t) 1 1 s', t=num_frames)
        attended = _attend(block, rearrange(tokens, 'v t s w -> (v t) s w'), visible)
        return rearrange(attended, '(v t) s w -> v t s w', t=num_frames)


def _attend(block: nn.Module, tokens: Tensor, visible: Tensor | None = None) -> Tensor:
    """The frozen block's ``MSA(LN z)``, ``[M, S, W]``; ``visible [M, 1, 1, S]`` marks the keys that are seen."""
    bias = None
    if visible is not None:
        bias = torch.zeros(visible.shape, dtype=tokens.dtype, device=tokens.device)
        bias = bias.masked_fill(~visible, torch.finfo(tokens.dtype).min)
    return block.self_attn(hidden_states=block.layer_norm1(tokens), attention_mask=bias)[0]
