"""Temporal-relational cross-transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor, nn

from .base_matching import BaseMatching


@MODELS.register_module()
class TRX(BaseMatching):
    """Compares ordered tuples of frames of a query with those of all shots of a class [C].

    Every tuple of a query attends to all tuples of all shots of a class; what it gathers is the class's prototype for
    this tuple. The distance is the squared Euclidean distance between the query's tuples and their prototypes, divided
    by the number of tuples, averaged over cardinalities::

        prototype = softmax(k_q k_c^T / sqrt(E)) v_c         k = LayerNorm(W_k tuple), v = W_v tuple
        distance = ||v_q - prototype||^2 / tuples

    Keys and values of a video are the same in every episode: :meth:`prepare` computes them, :meth:`match` uses them.
    Tuples with a masked frame are dropped.

    Args:
        in_channels: D.
        cardinalities: Frames per tuple; each has projections of its own.
        out_channels: E, the width of keys and values.
        num_frames: The most frames a video may have: the number of tuples grows with a power of it.
        position_scale: Size of the sine and cosine encoding of time that is added to the frames; 0 leaves it out.
        dropout: Of the frames, in training.
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
        """Keys and values ``[*, M, E]`` of the M tuples of each cardinality c, ``key_c`` and ``value_c``.

        Where a mask is given, ``mask_c [*, M]`` tells which tuples are whole.
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
        tokens = self.dropout(tokens)
        described = {}
        for size in self.cardinalities:
            tuples = torch.combinations(torch.arange(num_frames), size).to(tokens.device)  # [M, size]
            described[f'key_{size}'], described[f'value_{size}'] = self.projections[str(size)](tokens, tuples)
            if mask is not None:
                described[f'mask_{size}'] = mask[..., tuples].all(-1)
        return described

    def compare(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances ``[B, Q, N, 1]``."""
        distances = [
            _attention_distance(
                *(query.get(f'{name}_{size}') for name in ('key', 'value', 'mask')),
                *(support.get(f'{name}_{size}') for name in ('key', 'value', 'mask')),
            )
            for size in self.cardinalities
        ]
        return torch.stack(distances).mean(0)[..., None]


class _TupleProjection(nn.Module):
    """Keys and values of tuples of ``size`` frames: linear maps of the concatenated frames of a tuple.

    A linear map of a concatenation is a sum of linear maps: each frame is projected once for every place it can take
    in a tuple, and tuples are sums of these.
    """

    def __init__(self, in_channels: int, size: int, out_channels: int) -> None:
        super().__init__()
        self.size = size
        self.key = nn.Linear(size * in_channels, out_channels)
        self.value = nn.Linear(size * in_channels, out_channels)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, tokens: Tensor, tuples: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``[*, M, E]`` of frames ``[*, T, D]``; ``tuples [M, size]`` are indices of frames."""
        return self.norm(self._project(self.key, tokens, tuples)), self._project(self.value, tokens, tuples)

    def _project(self, linear: nn.Linear, tokens: Tensor, tuples: Tensor) -> Tensor:
        weight = rearrange(linear.weight, 'e (place d) -> (place e) d', place=self.size)
        frames = rearrange(F.linear(tokens, weight), '... t (place e) -> place ... t e', place=self.size)
        return sum(frame.index_select(-2, index) for frame, index in zip(frames, tuples.unbind(-1))) + linear.bias


def _attention_distance(
    query_key: Tensor,
    query_value: Tensor,
    query_mask: Tensor | None,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Distance ``[B, Q, N]`` of query tuples ``[B, Q, M, E]`` to class tuples ``[B, N, K, U, E]``, one cardinality."""
    class_value = rearrange(value, 'b n k u e -> b n (k u) e')
    scores = _products(query_key, key) / math.sqrt(key.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~rearrange(mask, 'b n k u -> b n 1 (k u)'), float('-inf'))
    attention = scores.softmax(-1)
    # ||v - sum_u a_u v_u||^2 = v.v - 2 sum_u a_u v.v_u + sum_uw a_u a_w v_u.v_w: prototypes, one of width E for each
    # tuple of each query and class, would be the largest tensors of all by far, and need not exist.
    inner = class_value @ class_value.transpose(-1, -2)
    mixed = ((attention @ inner - 2 * _products(query_value, value)) * attention).sum(-1)
    own = torch.linalg.vector_norm(query_value, dim=-1).square()
    square = rearrange(mixed, 'b n (q m) -> b q n m', q=own.shape[1]) + own[:, :, None]
    if query_mask is None:
        return square.mean(-1)
    query_mask = query_mask[:, :, None]
    return square.masked_fill(~query_mask, 0).sum(-1) / query_mask.sum(-1)


def _products(query: Tensor, support: Tensor) -> Tensor:
    """Inner products ``[B, N, Q M, K U]`` of ``[B, Q, M, E]`` with ``[B, N, K, U, E]``, class by class."""
    products = torch.bmm(rearrange(query, 'b q m e -> b (q m) e'), rearrange(support, 'b n k u e -> b e (n k u)'))
    return rearrange(products, 'b qm (n ku) -> b n qm ku', n=support.shape[1])


def _encode_time(tokens: Tensor) -> Tensor:
    """Sines (even features) and cosines (odd features) of time, ``[T, D]``, for tokens ``[*, T, D]``."""
    num_frames, width = tokens.shape[-2:]
    time = torch.arange(num_frames, dtype=tokens.dtype, device=tokens.device)[:, None]
    feature = torch.arange(width, device=tokens.device)
    frequency = 10000.0 ** (-(feature - feature % 2).to(tokens.dtype) / width)
    return torch.where(feature % 2 == 0, torch.sin(time * frequency), torch.cos(time * frequency))
