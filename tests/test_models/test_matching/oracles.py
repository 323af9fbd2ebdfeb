"""The metrics once more, as plain loops over Python floats: slow, obvious, independent of the package."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

Video = list[list[float]]  # valid frames only


def cosine_distance(a: list[float], b: list[float], eps: float = 0.0) -> float:
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return 1 - sum(x * y for x, y in zip(a, b)) / (norms + eps) if norms else 1.0


def frame_distances(query: Video, support: Video, eps: float = 0.0) -> list[list[float]]:
    return [[cosine_distance(a, b, eps) for b in support] for a in query]


def mean_frame(video: Video) -> list[float]:
    return [sum(column) / len(video) for column in zip(*video)]


def cosine(query: Video, support: Video, eps: float = 0.0) -> float:
    return cosine_distance(mean_frame(query), mean_frame(support), eps)


def euclidean(query: Video, support: Video, squared: bool = True) -> float:
    square = sum((a - b) ** 2 for a, b in zip(mean_frame(query), mean_frame(support)))
    return square if squared else math.sqrt(square)


def bi_mhm_matrix(d: list[list[float]], reduction: str = 'sum') -> float:
    rows = [min(row) for row in d]
    columns = [min(column) for column in zip(*d)]
    if reduction == 'mean':
        return sum(rows) / len(rows) + sum(columns) / len(columns)
    return sum(rows) + sum(columns)


def bi_mhm(query: Video, support: Video, reduction: str = 'sum', eps: float = 0.0) -> float:
    return bi_mhm_matrix(frame_distances(query, support, eps), reduction)


def soft_minimum(values: list[float], smoothing: float) -> float:
    least = min(values)
    return least - smoothing * math.log(sum(math.exp((least - value) / smoothing) for value in values))


def otam_matrix(d: list[list[float]], smoothing: float) -> float:
    """Cell by cell over the matrix with a zero column before and after."""
    height, width = len(d), len(d[0]) + 2
    padded = [[0.0, *row, 0.0] for row in d]
    cost = [[0.0] * width for _ in range(height)]
    for m in range(1, width):
        cost[0][m] = padded[0][m] + cost[0][m - 1]
    for i in range(1, height):
        for m in range(1, width):
            sources = [cost[i - 1][m - 1], cost[i][m - 1]]
            if m in (1, width - 1):
                sources.append(cost[i - 1][m])
            cost[i][m] = padded[i][m] + soft_minimum(sources, smoothing)
    return cost[-1][-1]


def otam(query: Video, support: Video, smoothing: float = 0.1, eps: float = 0.0, bidirectional: bool = True) -> float:
    d = frame_distances(query, support, eps)
    total = otam_matrix(d, smoothing)
    return total + otam_matrix([list(column) for column in zip(*d)], smoothing) if bidirectional else total


def trx(
    query: Video,
    shots: list[Video],
    *,
    cardinality: int,
    key: tuple[Tensor, Tensor],
    value: tuple[Tensor, Tensor],
    norm: tuple[Tensor, Tensor],
) -> float:
    """One cardinality; ``key``, ``value`` and ``norm`` are weight and bias in float64; no encoding of time."""

    def tuples(video: Video) -> Tensor:
        frames = itertools.combinations(video, cardinality)
        return torch.tensor([[x for frame in chosen for x in frame] for chosen in frames], dtype=torch.float64)

    def keys(video: Video) -> Tensor:
        projected = tuples(video) @ key[0].T + key[1]
        centred = projected - projected.mean(1, keepdim=True)
        return centred / torch.sqrt(centred.square().mean(1, keepdim=True) + 1e-5) * norm[0] + norm[1]

    def values(video: Video) -> Tensor:
        return tuples(video) @ value[0].T + value[1]

    class_keys, class_values = torch.cat([keys(shot) for shot in shots]), torch.cat([values(shot) for shot in shots])
    distance = 0.0
    query_keys, query_values = keys(query), values(query)
    for query_key, query_value in zip(query_keys, query_values):
        weight = torch.softmax(class_keys @ query_key / math.sqrt(len(query_key)), 0)
        distance += float((query_value - weight @ class_values).square().sum())
    return distance / len(query_keys)


def valid(tokens: Tensor, mask: Tensor | None) -> Video:
    return tokens.double().tolist() if mask is None else tokens[mask].double().tolist()


def over_episodes(
    metric: Callable[[Video, Video], float],
    query: Tensor,
    support: Tensor,
    query_mask: Tensor | None = None,
    support_mask: Tensor | None = None,
) -> Tensor:
    """``[B, Q, N]`` from a distance between two videos, mean over shots; support with or without Q."""
    num_episodes, num_queries = query.shape[:2]
    num_ways, num_shots = support.shape[-4:-2]
    result = torch.zeros(num_episodes, num_queries, num_ways, dtype=torch.float64)
    for b, q, n in itertools.product(range(num_episodes), range(num_queries), range(num_ways)):
        video = valid(query[b, q], None if query_mask is None else query_mask[b, q])
        for k in range(num_shots):
            place = (b, q, n, k) if support.ndim == 6 else (b, n, k)
            shot = valid(support[place], None if support_mask is None else support_mask[place])
            result[b, q, n] += metric(video, shot) / num_shots
    return result
