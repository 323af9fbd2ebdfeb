"""Heads and losses that exist during training only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from fsar_llava.datasets.synthetic_motion.programs import PRIMITIVES
from fsar_llava.datasets.synthetic_motion.scenes import NUM_COLORS, SHAPES

MOTION_LAYER, PRIMITIVE_LAYER, WORD_LAYER, NAME_LAYER = 3, 3, 4, 5
"""Decoder blocks after which motion, primitives, matching words and matching names are read."""


class SeeingHead(nn.Module):
    """Reads from the tower's tokens where both shapes are and what they look like.

    Args:
        width: Width of the tower.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * (4 + NUM_COLORS + len(SHAPES))))
        self.mean = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * 4))
        self.patch = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))

    def forward(self, tokens: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses from tower tokens ``[V, T, 1 + P, D]``."""
        out = rearrange(self.cls(tokens[:, :, 0]).float(), 'v t (o c) -> v t o c', o=2)
        place, color, shape = out.split([4, NUM_COLORS, len(SHAPES)], dim=-1)
        heat = rearrange(self.patch(tokens[:, :, 1:]).float(), 'v t p o -> v t o p')
        mean = rearrange(self.mean(tokens[:, :, 1:].mean(2)).float(), 'v t (o c) -> v t o c', o=2)
        frames = tokens.shape[1]
        return {
            'mean': F.smooth_l1_loss(mean, batch['place'], beta=0.25),
            'place': F.smooth_l1_loss(place, batch['place'], beta=0.25),
            'heat': F.binary_cross_entropy_with_logits(heat, batch['heat']),
            'color': _labels(color, batch['color'], frames),
            'shape': _labels(shape, batch['shape'], frames),
        }


def _labels(logits: Tensor, labels: Tensor, frames: int) -> Tensor:
    """Cross-entropy of ``[V, T, 2, C]`` with labels ``[V, 2]`` that hold in every frame."""
    return F.cross_entropy(logits.flatten(0, 2), labels[:, None].expand(-1, frames, -1).flatten())


class TalkingHead(nn.Module):
    """Reads motion, primitives and matches from the decoder's hidden states.

    The matching heads sit on the words of a quoted class name. They tell the decoder word by word whether the name
    agrees with the video; an answer of one bit a question teaches that far more slowly.

    Args:
        width: Width of the decoder.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.motion = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 5))
        self.actor = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))
        self.primitive = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(PRIMITIVES) + 1))
        self.word = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self.name = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, hidden: tuple[Tensor, ...], video: slice, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses and accuracies.

        Args:
            hidden: Hidden states ``[V, S, D]`` after 0, 1, 2 ... blocks.
            video: Where the video's tokens are.
            batch: Targets of the stream.
        """
        frames = batch['motion'].shape[1]
        by_frame = [
            rearrange(hidden[layer][:, video], 'v (t p) d -> v t p d', t=frames)[:, 1:, 1:].mean(2)
            for layer in (MOTION_LAYER, PRIMITIVE_LAYER)
        ]
        motion, primitive = self.motion(by_frame[0]).float(), self.primitive(by_frame[1]).float()
        actor = self.actor(by_frame[0][:, -1]).float()
        clip, at, truth, is_end = batch['marks'].unbind(1)
        word, name = is_end == 0, is_end == 1
        word_logit = self.word(hidden[WORD_LAYER][clip[word], at[word]]).float().squeeze(-1)
        name_logit = self.name(hidden[NAME_LAYER][clip[name], at[name]]).float().squeeze(-1)
        target = batch['primitive'][:, 1:].flatten()
        return {
            'motion': F.smooth_l1_loss(motion, batch['motion'][:, 1:], beta=0.25),
            'actor': F.cross_entropy(actor, batch['actor']),
            'primitive': F.cross_entropy(primitive.flatten(0, 1), target),
            'word': F.binary_cross_entropy_with_logits(word_logit, truth[word].float()),
            'name': F.binary_cross_entropy_with_logits(name_logit, truth[name].float()),
            'acc_primitive': (primitive.flatten(0, 1).argmax(-1) == target).float().mean(),
            'acc_word': ((word_logit > 0) == (truth[word] == 1)).float().mean(),
            'acc_name': ((name_logit > 0) == (truth[name] == 1)).float().mean(),
        }


def block_causal(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask ``[V, 1, S, S]``: a token sees the prefix (segment 0) and the earlier tokens of its own segment."""
    rows, columns = segments[:, :, None], segments[:, None, :]
    order = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool, device=segments.device).tril()
    allowed = ((columns == 0) | (rows == columns)) & order
    mask = torch.zeros(allowed.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def prefix_attention(prefix: int):
    """Attention for packed questions, an implementation for transformers' ``AttentionInterface``.

    Plain matrix products in bf16 are several times faster on a CPU than the fused kernels when a mask is given, and the
    prefix need not look at what follows it.

    Args:
        prefix: Length of the shared prefix.
    """

    def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, **_):
        def part(q: Tensor, k: Tensor, v: Tensor, m: Tensor) -> Tensor:
            return torch.softmax(
                torch.baddbmm(
                    m.expand(len(m), q.shape[1], -1, -1).flatten(0, 1),
                    q.flatten(0, 1),
                    k.flatten(0, 1).mT,
                    alpha=scaling,
                ),
                -1,
            ) @ v.flatten(0, 1)

        with torch.autocast(query.device.type, enabled=False):
            query, key, value = query.to(mask.dtype), key.to(mask.dtype), value.to(mask.dtype)
            first = part(query[:, :, :prefix], key[:, :, :prefix], value[:, :, :prefix], mask[:, :, :prefix, :prefix])
            rest = part(query[:, :, prefix:], key, value, mask[:, :, prefix:])
        out = torch.cat([first, rest], dim=1).unflatten(0, query.shape[:2])
        return out.transpose(1, 2).contiguous(), None

    return attend
