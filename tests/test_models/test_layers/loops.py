"""Attention, feed-forward and normalisation as plain float64 loops over tokens, and helpers to compare with them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from fsar_llava.structures import VideoFeatures


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def norm(layer: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    centred = x - sum(x) / len(x)
    variance = sum(value * value for value in centred) / len(x)
    return centred / math.sqrt(variance + layer.eps) * numbers(layer.weight) + numbers(layer.bias)


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    bias = 0 if layer.bias is None else numbers(layer.bias)
    return numbers(layer.weight) @ x + bias


def attention(block: nn.Module, tokens, context=None, mask=None, position=None) -> np.ndarray:
    """``x + O softmax(q k / sqrt(d)) v`` for one sequence; ``mask`` has True for a valid key."""
    normed = [norm(block.norm, x) for x in tokens]
    if position is not None:
        normed = [x + shift for x, shift in zip(normed, position)]
    source = normed if context is None else [norm(block.norm_context, x) for x in context]
    valid = [True] * len(source) if mask is None else [bool(flag) for flag in mask]
    width = len(tokens[0])
    key_weight, value_weight = numbers(block.key_value.weight)[:width], numbers(block.key_value.weight)[width:]
    head = width // block.num_heads
    results = []
    for x, asking in zip(tokens, normed):
        query = linear(block.query, asking)
        attended = np.zeros(width)
        for begin in range(0, width, head):
            part = slice(begin, begin + head)
            weights = [
                math.exp(float(query[part] @ (key_weight @ y)[part]) / math.sqrt(head)) if flag else 0.0
                for y, flag in zip(source, valid)
            ]
            for weight, y in zip(weights, source):
                if weight:
                    attended[part] += weight / sum(weights) * (value_weight @ y)[part]
        results.append(x + linear(block.output, attended))
    return np.array(results)


def feed_forward(block: nn.Module, x: np.ndarray) -> np.ndarray:
    hidden = linear(block.expand, norm(block.norm, x))
    gelu = np.array([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in hidden])
    return x + linear(block.output, gelu)


def perturb(module: nn.Module, seed: int = 0, scale: float = 0.3) -> nn.Module:
    """Move every parameter away from its initial value, and to float64."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features(leading, visual, lengths=None, *, length=4, width=8, seed=0) -> VideoFeatures:
    """Random features; ``visual`` are the dimensions between the leading ones and the width.

    ``lengths`` are the numbers of valid text tokens of the videos in order, the padding follows; None for no text.
    """
    frames = random(*leading, *visual, width, seed=seed)
    if lengths is None:
        return VideoFeatures(frames)
    count = torch.tensor(lengths).reshape(leading)
    mask = torch.arange(length) < count[..., None]
    return VideoFeatures(frames, random(*leading, length, width, seed=seed + 1), mask)


def pad_text(feats: VideoFeatures, extra: int, value: float = 7.0) -> VideoFeatures:
    """Append padded text tokens that hold ``value``, and put it into the padding that is there."""
    garbage = feats.textual.masked_fill(~feats.textual_mask[..., None], value)
    textual = nn.functional.pad(garbage, (0, 0, 0, extra), value=value)
    return feats.replace(textual=textual, textual_mask=nn.functional.pad(feats.textual_mask, (0, extra)))


def names_with_gradient(module: nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
