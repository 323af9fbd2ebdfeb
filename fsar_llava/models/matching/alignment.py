"""The smoothed cost of aligning two videos: two ways to the same number."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def alignment_cost(
    distance: Tensor, row_mask: Tensor | None = None, column_mask: Tensor | None = None, *, smoothing: float
) -> Tensor:
    """Cost of aligning A rows with C columns, one direction [C].

    A column of zeros is imagined before the first column and after the last one: an alignment may begin and end at any
    row. In the column before, a path may wait for free; in the one after, it may as well. All sums of exponentials are
    taken in log space: ``exp(-cost / smoothing)`` leaves the range of floats after a dozen frames.

    Args:
        distance: ``[A, C, *]``.
        row_mask: ``[A, *]`` or what broadcasts to it, True for valid rows, which come first. None: all are.
        column_mask: ``[C, *]``, the same for columns.
        smoothing: The lambda of the soft minimum.

    Returns:
        ``[*]``.
    """
    scores = distance / -smoothing  # a path's score is its cost in these units; soft minimum = log sum exp
    two_waiting = torch.full((), math.log(2), dtype=scores.dtype, device=scores.device)
    first = [scores[0, 0]]
    for score in scores[1:, 0]:  # first column: arrive from two zeros of the column before, or from above
        first.append(score + torch.logaddexp(first[-1], two_waiting))
    path = torch.stack(first)
    for column in range(1, scores.shape[1]):  # next columns: arrive from the left, or from above on the left
        arrived = torch.cat((path[:1], torch.logaddexp(path[:-1], path[1:]))) + scores[:, column]
        path = arrived if column_mask is None else torch.where(column_mask[column], arrived, path)
    # The column after the last: every row but the last is reached from two cells of it, and waiting costs nothing.
    return -smoothing * torch.logsumexp(path + _exits(path, row_mask), dim=0)


def _exits(path: Tensor, row_mask: Tensor | None) -> Tensor:
    """Log of the number of ways out of each row: two, but one from the last valid row and none from masked ones."""
    log_two = math.log(2)
    if row_mask is None:
        exits = path.new_full((len(path), *(1,) * (path.ndim - 1)), log_two)
        exits[-1] = 0
        return exits
    following = torch.cat((row_mask[1:], torch.zeros_like(row_mask[:1])))
    return torch.zeros_like(path).masked_fill(following, log_two).masked_fill(~row_mask, float('-inf'))


def sums_fit(rows: int, columns: int, dtype: torch.dtype, *, smoothing: float) -> bool:
    """Whether :func:`weighted_alignment_cost` can neither overflow nor lose a path to underflow, whatever the cosines.

    A path has one cell in each column, which weighs between ``exp(-1 / smoothing)`` and its inverse, and there are at
    most ``rows^2 2^columns`` paths. In float32 this allows 8 frames with a smoothing of 0.1, and 35 with 0.5.
    """
    return columns / smoothing + _half_of_paths(rows, columns) < -math.log(torch.finfo(dtype).tiny) - 1


def weighted_alignment_cost(weight: Tensor, *, smoothing: float) -> Tensor:
    """:func:`alignment_cost` of cosine distances, where :func:`sums_fit`; many times faster, without gradients.

    It sums the exponentials themselves: one of them a cell, and one logarithm a pair of videos.

    Args:
        weight: ``[A, C, *]``, ``exp(cos / smoothing)``, which is ``exp(-distance / smoothing)`` times
            ``exp(1 / smoothing)``.
        smoothing: The lambda of the soft minimum.

    Returns:
        ``[*]``.
    """
    rows, columns = weight.shape[:2]
    scale = _half_of_paths(rows, columns)  # all sums are divided by its exponential, to have 1 amid their range
    # One row of zeros on top, from which nothing arrives, spares the first row a treatment of its own.
    path, other = weight.new_empty(2, rows + 1, *weight.shape[2:])
    path[0] = other[0] = 0
    torch.mul(weight[:, 0], 2 * math.exp(-scale), out=path[1:])
    path[1] /= 2
    for row in range(1, rows):
        path[row + 1].addcmul_(weight[row, 0], path[row], value=math.exp(-1 / smoothing))
    for column in range(1, columns):
        torch.add(path[:-1], path[1:], out=other[1:])
        other[1:] *= weight[:, column]
        path, other = other, path
    total = path.sum(0).mul_(2).sub_(path[-1])
    return columns - smoothing * total.log_().add_(scale)


def _half_of_paths(rows: int, columns: int) -> float:
    """Half the log of the most paths."""
    return math.log(2) / 2 * columns + math.log(rows)
