"""One episode as a picture: the examples of each class, the queries and what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from mmaction.structures import ActionDataSample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT, WRONG, UNKNOWN = 'tab:green', 'tab:red', 'tab:gray'


def draw_episode(
    frames: Sequence[np.ndarray], data_samples: Sequence[ActionDataSample], result: ActionDataSample
) -> Figure:
    """Draw one episode.

    Args:
        frames: One RGB picture ``[H, W, 3]`` uint8 for each of the episode's videos.
        data_samples: The videos' samples, as :class:`EpisodicDataset` stamped them.
        result: The head's result for the episode.

    Returns:
        A matplotlib figure: a column per way with its shots, and below them the queries in rows of equal width.
    """
    from matplotlib.figure import Figure

    names = result.metainfo['class_names']
    shots: list[list[int]] = [[] for _ in names]
    queries = []
    for position, sample in enumerate(data_samples):
        if sample.metainfo['role'] == 'support':
            shots[sample.metainfo['way']].append(position)
        else:
            queries.append(position)
    num_shots, columns = len(shots[0]), len(names)
    rows = num_shots + -(-len(queries) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.1 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for way, name in enumerate(names):
        for shot, position in enumerate(shots[way]):
            _show(axes[shot, way], frames[position], name if shot == 0 else '', UNKNOWN)
    for number, position in enumerate(queries):
        predicted = int(result.pred_label[number])
        truth = int(result.gt_label[number])
        colour = UNKNOWN if truth < 0 else RIGHT if truth == predicted else WRONG
        title = f'{names[predicted]}\n{float(result.pred_scores[number, predicted]):.0%}'
        _show(axes[num_shots + number // columns, number % columns], frames[position], title, colour)
    figure.suptitle(
        f'episode {result.metainfo["episode_id"]}: examples above, queries with predictions below', fontsize=8
    )
    return figure


def _show(axis: object, frame: np.ndarray, title: str, colour: str) -> None:
    axis.imshow(frame)
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    title = title.replace('$', r'\$')  # no formulas, which matplotlib would read in names with two of them
    axis.set_title(title, fontsize=7, color='black' if colour == UNKNOWN else colour, wrap=True)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=2)
