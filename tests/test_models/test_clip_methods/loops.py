"""Plain float64 loops that the vectorised modules are compared with."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn


def perturb(module: nn.Module, seed: int = 1) -> nn.Module:
    """Move every trainable parameter away from its special initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(noise * 0.3)
    return module


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return array(layer.weight) @ x + (0 if layer.bias is None else array(layer.bias))


def layer_norm(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    if isinstance(layer, nn.Identity):
        return x
    deviation = x - x.mean()
    return deviation / math.sqrt((deviation**2).mean() + layer.eps) * array(layer.weight) + array(layer.bias)


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(np.asarray(x) - np.max(x))
    return e / e.sum()


def cross_entropy(logits: np.ndarray, label: int) -> float:
    return -math.log(softmax(logits)[label])


def fusion_layer(layer: nn.Module, query: list, context: list) -> list:
    """``x = q + MHA(LN q, LN c, LN c)``; ``x + FFN(x)``, token by token and head by head."""
    heads, width = layer.num_heads, len(query[0])
    q = [linear(layer.query, layer_norm(layer.norm, x)).reshape(heads, -1) for x in query]
    kv = [linear(layer.key_value, layer_norm(layer.norm, x)) for x in context]
    k, v = [x[:width].reshape(heads, -1) for x in kv], [x[width:].reshape(heads, -1) for x in kv]
    result = []
    for i, token in enumerate(query):
        parts = []
        for h in range(heads):
            weights = softmax([q[i][h] @ k[j][h] / math.sqrt(width // heads) for j in range(len(context))])
            parts.append(sum(w * v[j][h] for j, w in enumerate(weights)))
        x = token + linear(layer.output, np.concatenate(parts))
        result.append(x + linear(layer.ffn[3], gelu(linear(layer.ffn[0], x))))
    return result


def otam(distances: np.ndarray, smoothing: float) -> float:
    """One direction of OTAM over a distance matrix, with math.fsum of plain exponentials."""

    def soft_min(*values: float) -> float:
        lowest = min(values)
        return lowest - smoothing * math.log(sum(math.exp((lowest - v) / smoothing) for v in values))

    rows, columns = distances.shape
    padded = np.zeros((rows, columns + 2))
    padded[:, 1:-1] = distances
    total = np.zeros_like(padded)
    for m in range(1, columns + 2):
        total[0, m] = padded[0, m] + total[0, m - 1]
    for i in range(1, rows):
        total[i, 1] = padded[i, 1] + soft_min(total[i - 1, 0], total[i - 1, 1], total[i, 0])
        for m in range(2, columns + 1):
            total[i, m] = padded[i, m] + soft_min(total[i - 1, m - 1], total[i, m - 1])
        last = columns + 1
        total[i, last] = soft_min(total[i - 1, last - 1], total[i - 1, last], total[i, last - 1])
    return total[-1, -1]


def otam_distance(a: np.ndarray, b: np.ndarray, smoothing: float) -> float:
    """Both directions, between two videos ``[T, D]``."""
    distances = np.array([[1 - cosine(x, y) for y in b] for x in a])
    return otam(distances, smoothing) + otam(distances.T, smoothing)


def bi_mhm_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Sum over frames of the nearest frame's distance, in both directions."""
    distances = np.array([[1 - cosine(x, y) for y in b] for x in a])
    return distances.min(0).sum() + distances.min(1).sum()
