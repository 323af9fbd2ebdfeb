"""Ordered tuples of frames, compared without parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.structures import PreparedVideos

from .base_matching import BaseMatching
from .tuples import compare_portions, frame_tuples

LAYER_NORM_EPS = 1e-5


@MODELS.register_module()
class TupleMatching(BaseMatching):
    """What :class:`TRX` does, on the features as they are: nothing is projected, nothing is trained [R].

    Every tuple of a query attends to all tuples of all shots of a class; what it gathers is the class's prototype for
    this tuple. The distance is the squared Euclidean distance between the query's tuples and their prototypes, divided
    by the number of tuples, averaged over cardinalities::

        prototype = softmax(k_q k_c^T / sqrt(c D)) v_c       v = the c frames of a tuple side by side, k = LayerNorm(v)
        distance = ||v_q - prototype||^2 / tuples

    Products of tuples are sums of products of frames, so that tuples themselves, of which there are many, never exist.
    Tuples with a masked frame are dropped.

    Args:
        cardinalities: Frames per tuple, c.
        num_frames: The most frames (or words) a video may have: the number of tuples grows with a power of it.
    """

    ordered = True

    def __init__(self, cardinalities: Sequence[int] = (2, 3), *, num_frames: int = 16) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        if not self.cardinalities or len(set(self.cardinalities)) < len(self.cardinalities):
            raise ValueError(f'TupleMatching: cardinalities must be different numbers, but are {self.cardinalities}.')
        if not 1 <= min(self.cardinalities) <= max(self.cardinalities) <= num_frames:
            raise ValueError(
                f'TupleMatching: cardinalities must lie between 1 and num_frames={num_frames}, but are '
                f'{self.cardinalities}.'
            )
        self.min_frames = max(self.cardinalities)
        self.num_frames = num_frames

    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """``tokens [*, T, D]`` and ``mean [*, T]``, the mean feature of each frame.

        For the M tuples of each cardinality c ``scale_c [*, M]``, the inverse deviation of their features, and, where a
        mask is given, ``mask_c [*, M]``: which tuples are whole.
        """
        if tokens.shape[-2] > self.num_frames:
            raise ValueError(
                f'TupleMatching: a video has {tokens.shape[-2]} frames, more than num_frames={self.num_frames}. Raise '
                f'num_frames (the number of tuples grows as its power {self.min_frames}), or sample fewer frames.'
            )
        variance, mean = torch.var_mean(tokens, dim=-1, correction=0)
        described = dict(tokens=tokens, mean=mean)
        for size in self.cardinalities:
            tuples = frame_tuples(tokens.shape[-2], size, tokens.device)
            whole = variance[..., tuples].mean(-1) + mean[..., tuples].var(-1, correction=0)
            described[f'scale_{size}'] = (whole + LAYER_NORM_EPS).rsqrt()
            if mask is not None:
                described[f'mask_{size}'] = mask[..., tuples].all(-1)
        return described

    def compare(self, query: PreparedVideos, support: PreparedVideos) -> Tensor:
        """Distances ``[B, Q, N, 1]``."""
        pairs = max(
            query[name].shape[-1] * support[name].shape[-1] for name in (f'scale_{size}' for size in self.cardinalities)
        )
        return compare_portions(self._compare, query, support, pairs)[..., None]

    def _compare(self, query: PreparedVideos, support: PreparedVideos) -> Tensor:
        """Distances ``[B, Q, N]``."""
        query, support = dict(query), dict(support)  # each tensor is needed more than once
        asking, answering = query['tokens'], support['tokens']
        product = torch.bmm(rearrange(asking, 'b q a d -> b (q a) d'), rearrange(answering, 'b n k c d -> b d (n k c)'))
        product = rearrange(
            product, 'b (q a) (n k c) -> b n q a k c', a=asking.shape[2], n=answering.shape[1], k=answering.shape[2]
        )
        distances = [self._distance(size, product, query, support) for size in self.cardinalities]
        return torch.stack(distances).mean(0)

    def _distance(
        self, size: int, product: Tensor, query: Mapping[str, Tensor], support: Mapping[str, Tensor]
    ) -> Tensor:
        """``[B, Q, N]`` for one cardinality, from the products ``[B, N, Q, A, K, C]`` of all frames."""
        tuples = _tuples_of(query, size)
        product = product[:, :, :, tuples]  # [B, N, Q, M, c, K, C]
        # A prototype is a mixture of frames, place by place: its weights stand for M tuples of width c * D.
        weights = _mixture(size, product, query, support).flatten(-2)
        frames = rearrange(support['tokens'], 'b n k c d -> b n (k c) d')
        inner = torch.einsum('bnqmpx, bnxy -> bnqmpy', weights, frames @ frames.transpose(-1, -2))
        # ||f - sum_x w_x g_x||^2 = f.f - 2 sum_x w_x f.g_x + sum_xy w_x w_y g_x.g_y for each place.
        mixed = (weights * (inner - 2 * product.flatten(-2))).sum((-2, -1))
        own = query['tokens'].square().sum(-1)[..., tuples].sum(-1)
        square = rearrange(mixed, 'b n q m -> b q n m') + own[:, :, None]
        mask = query.get(f'mask_{size}')
        if mask is None:
            return square.mean(-1)
        mask = mask[:, :, None]
        return square.masked_fill(~mask, 0).sum(-1) / mask.sum(-1)


def _mixture(size: int, product: Tensor, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
    """How much of each frame of a class is in the prototypes of each query's tuples.

    Args:
        size: Frames per tuple, c.
        product: ``[B, N, Q, M, c, K, C]`` of the frames of tuples with the frames of classes.
        query: As described.
        support: As described.

    Returns:
        The shape of ``product``; for each place in a tuple, the weights of all frames of a class have the sum 1.
    """
    width = query['tokens'].shape[-1]
    tuples = _tuples_of(support, size)
    places = F.one_hot(tuples, product.shape[-1]).to(product)  # [U, c, C]
    mean = query['mean'][..., _tuples_of(query, size)].mean(-1)
    means = torch.einsum('bqm, bnkc -> bnqmkc', mean, support['mean'])
    scale = rearrange(query[f'scale_{size}'] / math.sqrt(size * width), 'b q m -> b 1 q m 1 1 1')
    keys = (product - width * means[:, :, :, :, None]) * scale
    scores = torch.einsum('bnqmpkc, upc -> bnqmku', keys, places)
    scores = scores * rearrange(support[f'scale_{size}'], 'b n k u -> b n 1 1 k u')
    if f'mask_{size}' in support:
        scores = scores.masked_fill(~rearrange(support[f'mask_{size}'], 'b n k u -> b n 1 1 k u'), float('-inf'))
    attention = scores.flatten(-2).softmax(-1).view_as(scores)
    return torch.einsum('bnqmku, upc -> bnqmpkc', attention, places)


def _tuples_of(side: Mapping[str, Tensor], size: int) -> Tensor:
    """Indices ``[M, size]`` of the frames of all tuples."""
    return frame_tuples(side['tokens'].shape[-2], size, side['tokens'].device)
