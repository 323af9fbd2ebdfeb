"""Three figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from .results import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .table import Table

# Okabe and Ito's colours, which the colour-blind can tell apart; line styles and markers differ as well.
STYLES = {
    'unknown': ('#0072B2', '-', 'o', 'FSAR-LLaVA, Unknown'),
    'known': ('#CC79A7', '--', 's', 'FSAR-LLaVA, Known'),
    'linear-both': ('#E69F00', '-.', '^', 'linear, both modalities'),
    'linear-visual': ('#009E73', ':', 'v', 'linear, visual'),
}
GREY = '#666666'
SIZE, DPI = (6.4, 3.6), 110


def draw_figures(table: Table, out: Path) -> None:
    """Write ``learning_curve.png``, ``ablations.png`` and ``layers.png``."""
    with plt.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
        for name, draw in (('learning_curve', _learning_curve), ('ablations', _ablations), ('layers', _layers)):
            figure = draw(table)
            figure.savefig(out / f'{name}.png', dpi=DPI)
            plt.close(figure)


def _learning_curve(table: Table) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6), sharey=True, layout='constrained')
    for name, (colour, line, marker, label) in STYLES.items():
        curves = [curve for curve in table.curves().get(name, []) if curve]
        if not curves:
            continue
        total = table.settings.video_episodes if name == 'known' else table.settings.train_episodes
        length = min(map(len, curves))
        values = np.array([curve[:length] for curve in curves])
        x = total * np.arange(1, length + 1) / length
        left.plot(x, values.mean(0), color=colour, ls=line, marker=marker, ms=4, label=label)
        left.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
    layer = table.outcome.choices.layer
    steps = {step['step']: step for step in table.outcome.record}
    level = steps['layer'].get('training_free', {}).get(str(layer))
    _level(left, level, 'best without training')
    left.set(xlabel='training episodes', ylabel='5-way 1-shot accuracy in %', title='during training, meta-val')
    left.set_xlim(left=0)
    left.legend(frameon=False, fontsize=8, loc='lower right', bbox_to_anchor=(1, 0.12))
    found = {count: one['1shot'] for count, one in table.episodes.items() if one}
    right.errorbar(list(found), *_bars(list(found.values())), color=STYLES['unknown'][0], marker='o', ms=4, capsize=3)
    free = table.best_free('1shot', layer)
    _level(right, free[1].acc if free else None, 'best without training')
    right.set(xlabel='training episodes of a whole run', title='after training, meta-test')
    right.set_xscale('log')
    right.set_xticks(list(found), [f'{count:,}' for count in found])
    right.minorticks_off()
    return figure


def _ablations(table: Table) -> plt.Figure:
    from .report import PARTS

    bars = [(f'without {PARTS[part]}', table.gap(rows)) for part, rows in table.outcome.rows.without.items()]
    chosen = table.outcome.choices
    for (fusion, metric), rows in table.outcome.rows.grid.items():
        if metric == chosen.metric and fusion != chosen.fusion:
            bars.append((f"'{fusion}' instead of '{chosen.fusion}'", table.gap(rows)))
        if fusion == chosen.fusion and metric != chosen.metric:
            bars.append((f'{metric} instead of {chosen.metric}', table.gap(rows)))
    controls = (('both', 'linear projection, both modalities'), ('visual', 'linear projection, visual tokens'))
    headline = table.outcome.rows.headline
    bars += [(label, table.gap(headline[f'linear-{name}'], headline['unknown'])) for name, label in controls]
    bars = [(label, gap) for label, gap in bars if gap]
    figure, axes = plt.subplots(figsize=(7.4, 1.1 + 0.27 * len(bars)), layout='constrained')
    places = np.arange(len(bars))[::-1]
    gaps = np.array([gap for _, gap in bars]).reshape(-1, 2)
    noise = _seed_noise(table.headline.get('unknown', {}).get('1shot'))
    if noise:
        axes.axvspan(-noise, noise, color='#dddddd', lw=0, zorder=0, label='what another seed may change (95 %)')
        figure.legend(frameon=False, fontsize=8, loc='outside upper right')
    axes.barh(places, gaps[:, 0], xerr=gaps[:, 1], color='#56B4E9', height=0.62, error_kw=dict(lw=1, capsize=2))
    axes.axvline(0, color=GREY, lw=0.8)
    ends = np.concatenate([gaps[:, 0] - gaps[:, 1], gaps[:, 0] + gaps[:, 1], [0.0]])
    axes.set_xlim(ends.min() - 0.15 * np.ptp(ends) - 0.1, ends.max() + 0.15 * np.ptp(ends) + 0.1)
    axes.set_yticks(places, [label for label, _ in bars])
    axes.set_xlabel('1-shot, meta-test: points against the full model')
    axes.spines['left'].set_visible(False)
    axes.tick_params(axis='y', length=0)
    return figure


def _layers(table: Table) -> plt.Figure:
    figure, axes = plt.subplots(figsize=SIZE, layout='constrained')
    free = {layer: found[1] for layer in table.settings.layers if (found := table.best_free('1shot', layer))}
    trained = {layer: found['1shot'] for layer, found in table.layers.items() if found}
    series = (
        (trained, STYLES['unknown'][:3], 'FSAR-LLaVA, trained on the layer'),
        (free, ('#D55E00', '--', 's'), 'best metric without training'),
    )
    for found, (colour, line, marker), label in series:
        if found:
            values = _bars(list(found.values()))
            axes.errorbar(list(found), *values, color=colour, ls=line, marker=marker, ms=5, capsize=3, label=label)
    axes.axvline(table.outcome.choices.layer, color='#bbbbbb', lw=6, alpha=0.5, zorder=0, label='chosen on meta-val')
    _level(axes, 20, 'chance')
    axes.set(xlabel='decoder layer (0: frames of the tower)', ylabel='5-way 1-shot accuracy in %, meta-test')
    axes.set_xticks(table.settings.layers)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _bars(scores: list[Score]) -> tuple[list[float], list[float]]:
    """Heights and half widths of the wider interval."""
    return [one.acc for one in scores], [one.interval[1] - one.acc for one in scores]


def _level(axes: Axes, height: float | None, label: str) -> None:
    if height is not None:
        axes.axhline(height, color=GREY, ls=(0, (1, 1)), lw=1)
        place = dict(xycoords=('axes fraction', 'data'), textcoords='offset points')
        axes.annotate(label, (1, height), (-3, 2), **place, ha='right', va='bottom', color=GREY, fontsize=8)


def _seed_noise(score: Score | None) -> float | None:
    """Half the width of the interval of a difference between two trainings that differ in the seed alone."""
    if score is None or score.over_seeds is None:
        return None
    # The interval of a mean of n seeds is t s / sqrt(n); that of a difference of two single ones is t s sqrt(2).
    return score.over_seeds * (2 * len(score.per_seed)) ** 0.5
