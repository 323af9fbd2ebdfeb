"""Temporal-relational cross-transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from fsar_llava.structures import PreparedVideos

from .base_matching import BaseMatching
from .tuples import compare_portions, frame_tuples


@MODELS.register_module()
class TRX(BaseMatching):
    """Compares ordered tuples of frames of a query with those of all shots of a class [C].

    Every tuple of a query attends to all tuples of all shots of a class; what it gathers is the class's prototype for
    this tuple. The distance is the squared Euclidean distance between the query's tuples and their prototypes, divided
    by the number of tuples, averaged over cardinalities::

        prototype = softmax(k_q k_c^T / sqrt(E)) v_c         k = LayerNorm(W_k tuple), v = W_v tuple
        distance = ||v_q - prototype||^2 / tuples

    Keys and values are linear maps of the frames side by side, that is, sums of maps of single frames, one for each
    place in a tuple. Products of tuples are then sums of products of these parts, of which there are far fewer (18, not
    56, for 3 of 8 frames), and a prototype is a weighted sum of them. The parts of a video are the same in every
    episode: :meth:`prepare` computes them, :meth:`match` uses them.

    Tuples with a masked frame are dropped.

    Args:
        in_channels: D.
        cardinalities: Frames per tuple; each has projections of its own.
        out_channels: E, the width of keys and values.
        num_frames: The most frames a video may have: the number of tuples grows with a power of it.
        position_scale: Size of the sine and cosine encoding of time that is added to the frames; 0 leaves it out.
        dropout: Of the frames, in training; each cardinality has draws of its own.
    """

    ordered = True

    def __init__(
        self,
        in_channels: int,
        cardinalities: Sequence[int] = (2, 3),
        *,
        out_channels: int = 1152,
        num_frames: int = 8,
        position_scale: float = 0.1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        if not self.cardinalities or len(set(self.cardinalities)) < len(self.cardinalities):
            raise ValueError(f'TRX: cardinalities must be different numbers, but are {self.cardinalities}.')
        if not 1 <= min(self.cardinalities) <= max(self.cardinalities) <= num_frames:
            raise ValueError(
                f'TRX: cardinalities must lie between 1 and num_frames={num_frames}, but are {self.cardinalities}.'
            )
        self.min_frames = max(self.cardinalities)
        self.in_channels = in_channels
        self.num_frames = num_frames
        self.position_scale = position_scale
        self.dropout = nn.Dropout(dropout)
        self.projections = nn.ModuleDict(
            {str(size): _TupleProjection(in_channels, size, out_channels) for size in self.cardinalities}
        )

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """What :class:`_TupleProjection` gives for each cardinality c, named ``key_c`` and so on.

        Where a mask is given, ``mask_c [*, M]`` tells which of the M tuples are whole.
        """
        num_frames, width = tokens.shape[-2:]
        if width != self.in_channels:
            raise ValueError(f'TRX: in_channels is {self.in_channels}, but the frames have {width} features.')
        if num_frames > self.num_frames:
            raise ValueError(
                f'TRX: a video has {num_frames} frames, more than num_frames={self.num_frames}. Raise num_frames (the '
                f'number of tuples grows as its power {self.min_frames}), or sample fewer frames.'
            )
        if self.position_scale:
            tokens = tokens + self.position_scale * _encode_time(tokens)
        described = {}
        for size in self.cardinalities:
            projected = self.projections[str(size)](self.dropout(tokens))
            described |= {f'{name}_{size}': tensor for name, tensor in projected.items()}
            if mask is not None:
                described[f'mask_{size}'] = mask[..., frame_tuples(num_frames, size, mask.device)].all(-1)
        return described

    def compare(self, query: PreparedVideos, support: PreparedVideos) -> Tensor:
        """Distances ``[B, Q, N, 1]``."""
        distances = []
        for size in self.cardinalities:
            pairs = math.prod(side[f'scale_{size}'].shape[-1] for side in (query, support))
            distances.append(compare_portions(partial(_attention_distance, size), query, support, pairs))
        return torch.stack(distances).mean(0)[..., None]


class _TupleProjection(nn.Module):
    """Keys and values of tuples of ``size`` frames, in the parts that single frames add to them.

    Each place in a tuple of c frames can be taken by T - c + 1 of the T frames, so that a video has P = c (T - c + 1)
    parts. With M tuples :meth:`forward` gives

    - ``value [*, P, E]``: a tuple's value is the sum of its parts,
    - ``square [*, M]``: the squared length of that sum,
    - ``key [*, P, E]``: a tuple's key is the sum of its parts, times ``scale``, plus the norm's bias,
    - ``scale [*, M]``: the inverse deviation of the sum before the norm,
    - ``offset [*, M]``: the key's inner product with the norm's bias, up to a constant.
    """

    def __init__(self, in_channels: int, size: int, out_channels: int) -> None:
        super().__init__()
        self.size = size
        self.key = nn.Linear(size * in_channels, out_channels)
        self.value = nn.Linear(size * in_channels, out_channels)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Tensors as listed, of frames ``[*, T, D]``."""
        made_of = _parts(tokens.shape[-2], self.size, tokens.device)
        value = self._project(self.value, tokens)
        key = self._project(self.key, tokens)
        key = key - key.mean(-1, keepdim=True)
        scale = (_sums(key, made_of).square().mean(-1) + self.norm.eps).rsqrt()
        key = key * self.norm.weight
        return dict(
            value=value,
            square=_sums(value, made_of).square().sum(-1),
            key=key,
            scale=scale,
            offset=_sums((key @ self.norm.bias)[..., None], made_of)[..., 0] * scale,
        )

    def _project(self, linear: nn.Linear, tokens: Tensor) -> Tensor:
        """Parts ``[*, P, E]``, place by place; the bias belongs to the first place."""
        fitting = tokens.shape[-2] - self.size + 1  # frames that can take a place
        weights = linear.weight.chunk(self.size, dim=1)
        return torch.cat(
            [
                F.linear(tokens[..., place : place + fitting, :], weight, None if place else linear.bias)
                for place, weight in enumerate(weights)
            ],
            dim=-2,
        )


def _parts(num_frames: int, size: int, device: torch.device) -> Tensor:
    """Indices ``[M, c]`` of the parts that make each tuple."""
    return frame_tuples(num_frames, size, device) + (num_frames - size) * torch.arange(size, device=device)


def _sums(parts: Tensor, made_of: Tensor) -> Tensor:
    """Sums ``[*, M, E]`` of parts ``[*, P, E]``, those that ``made_of [M, c]`` names."""
    return sum(parts.index_select(-2, place) for place in made_of.unbind(-1))


def _attention_distance(size: int, query: PreparedVideos, support: PreparedVideos) -> Tensor:
    """Distance ``[B, Q, N]`` of queries to classes by tuples of ``size`` frames."""
    weights = _prototype_weights(size, query, support)
    ways = support.shape[1]
    asking, answering, square = query[f'value_{size}'], support[f'value_{size}'], query[f'square_{size}']
    parts = answering.flatten(2, 3).flatten(0, 1)
    products = _products(asking, answering, _made_of(size, asking).expand(*square.shape, -1), ways)
    # ||v - sum_x w_x g_x||^2 = v.v - 2 sum_x w_x v.g_x + sum_xy w_x w_y g_x.g_y
    inner = torch.baddbmm(products.flatten(0, 1), weights, parts @ parts.mT, beta=-2)
    inner = (inner * weights).sum(-1).unflatten(0, (-1, ways)).unflatten(-1, square.shape[1:])
    distance = square[..., None] + inner.movedim(1, -1)
    mask = query.get(f'mask_{size}')
    if mask is None:
        return distance.mean(2)
    mask = mask[..., None]
    return distance.masked_fill(~mask, 0).sum(2) / mask.sum(2)


def _prototype_weights(size: int, query: PreparedVideos, support: PreparedVideos) -> Tensor:
    """How much of each part of a class is in the prototype of each tuple of a query, ``[B N, Q M, K P]``."""
    asking, answering = query[f'key_{size}'], support[f'key_{size}']
    ways, shots = support.shape[1:]
    root = math.sqrt(asking.shape[-1])
    # One product gives the scores of tuples, [B N K, Q M, U]: it sums the parts of supports' tuples, scales the sums
    # and adds the offsets, which a part that is always 1 brings along.
    sums = _made_of(size, asking) * (query[f'scale_{size}'] / root)[..., None]
    scores = _products(asking, answering, sums, ways * shots)
    made_of = _made_of(size, answering)
    scale, offset = (support[f'{name}_{size}'][..., None, :] for name in ('scale', 'offset'))
    sums = torch.cat([made_of.T * scale, offset / root], dim=-2)
    scores = torch.bmm(F.pad(scores, (0, 1), value=1).flatten(0, 1), sums.flatten(0, 2))
    scores = scores.unflatten(0, (-1, ways, shots)).transpose(2, 3)  # [B, N, Q M, K, U]
    mask = support.get(f'mask_{size}')
    if mask is not None:
        scores = scores.masked_fill(~mask[:, :, None], float('-inf'))
    attention = scores.flatten(-2).softmax(-1).view(scores.shape)
    return (attention @ made_of).flatten(-2).flatten(0, 1)


def _made_of(size: int, parts: Tensor) -> Tensor:
    """``[M, P]``, 1 where one of the parts ``[*, P, E]`` makes a tuple and 0 elsewhere."""
    num_parts = parts.shape[-2]
    return F.one_hot(_parts(num_parts // size + size - 1, size, parts.device), num_parts).sum(1).to(parts)


def _products(query: Tensor, support: Tensor, sums: Tensor, groups: int) -> Tensor:
    """Inner products ``[B, groups, Q M, N K P / groups]`` of a query's tuples with a support's parts.

    Args:
        query: Parts ``[B, Q, P', E]``.
        support: Parts ``[B, N, K, P, E]``.
        sums: ``[B, Q, M, P']``, what each part adds to each tuple of a query.
        groups: N, or N K.
    """
    products = torch.bmm(query.flatten(1, 2), support.flatten(1, 3).mT).unflatten(1, query.shape[1:3])
    tuples = torch.bmm(sums.flatten(0, 1), products.flatten(0, 1)).unflatten(0, query.shape[:2]).flatten(1, 2)
    return tuples.unflatten(-1, (groups, -1)).transpose(1, 2)


def _encode_time(tokens: Tensor) -> Tensor:
    """Sines (even features) and cosines (odd features) of time, ``[T, D]``, for tokens ``[*, T, D]``."""
    num_frames, width = tokens.shape[-2:]
    time = torch.arange(num_frames, dtype=tokens.dtype, device=tokens.device)[:, None]
    feature = torch.arange(width, device=tokens.device)
    frequency = 10000.0 ** (-(feature - feature % 2).to(tokens.dtype) / width)
    return torch.where(feature % 2 == 0, torch.sin(time * frequency), torch.cos(time * frequency))
