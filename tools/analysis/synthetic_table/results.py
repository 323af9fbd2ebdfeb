"""Reads what the rows have left, and what follows from it."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .rows import Row
from .settings import Settings


@dataclass(frozen=True)
class Score:
    """Accuracy of a row in percent, over seeds.

    Attributes:
        acc: Mean over seeds.
        over_seeds: Half width of its 95 % interval over seeds (Student's t); None for one seed.
        over_episodes: Half width of its 95 % interval over episodes, of the mean over seeds.
        per_seed: Accuracy of each seed.
        episodes: How many.
        episode_hash: Equal for the same episodes.
    """

    acc: float
    over_seeds: float | None
    over_episodes: float
    per_seed: tuple[float, ...]
    episodes: int
    episode_hash: str

    @property
    def interval(self) -> tuple[float, float]:
        """The wider of both intervals, as its two ends."""
        half = max(self.over_seeds or 0.0, self.over_episodes)
        return self.acc - half, self.acc + half

    def __str__(self) -> str:
        seeds = '' if self.over_seeds is None else f' ± {self.over_seeds:.2f}'
        return f'{self.acc:.2f}{seeds} (± {self.over_episodes:.2f})'


@functools.lru_cache(maxsize=256)
def _read(path: Path, _modified: float) -> dict:
    return json.loads(path.read_text(encoding='utf-8'))


def result(settings: Settings, row: Row, split: str, test: str) -> dict | None:
    """The result file of one test of a row, or None."""
    path = row.folder(settings) / split / f'few_shot_result_{test}.json'
    done = (row.folder(settings) / f'{split}.json').exists()
    return _read(path, path.stat().st_mtime) if done and path.exists() else None


def score(settings: Settings, rows: Sequence[Row], split: str, test: str) -> Score | None:
    """Score of rows that differ in the seed; None unless all have a result."""
    found = [result(settings, row, split, test) for row in rows]
    if not found or None in found:
        return None
    accuracies = [one['acc'] for one in found]
    episodes = np.mean([one['episode_acc'] for one in found], axis=0)
    return Score(
        float(np.mean(accuracies)),
        over_seeds(accuracies),
        over_episodes(episodes),
        tuple(accuracies),
        len(episodes),
        found[0]['episode_hash'],
    )


def difference(settings: Settings, rows: Sequence[Row], others: Sequence[Row], test: str) -> tuple[float, float] | None:
    """Mean of ``rows`` minus ``others`` on the same meta-test episodes, and half the width of its 95 % interval.

    The interval is over episodes, pair by pair; where there are several seeds, and it is the wider one, over seeds.
    """
    pairs = [(result(settings, a, 'test', test), result(settings, b, 'test', test)) for a, b in zip(rows, others)]
    if not pairs or any(None in pair for pair in pairs):
        return None
    gaps = np.array([np.subtract(a['episode_acc'], b['episode_acc']) for a, b in pairs])
    seeds = over_seeds(gaps.mean(1).tolist()) or 0.0
    return float(gaps.mean()), max(seeds, over_episodes(gaps.mean(0)))


def over_seeds(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of a mean over few seeds; None for one."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def over_episodes(accuracies: np.ndarray) -> float:
    """Half the width of the 95 % interval of a mean over episodes."""
    return float(1.96 * np.std(accuracies) / math.sqrt(len(accuracies)))


def validations(settings: Settings, row: Row) -> list[float]:
    """Meta-val accuracy after each epoch of a training, as the runner's log has it."""
    logs = sorted(row.folder(settings).glob('*/vis_data/scalars.json'))
    if not logs:
        return []
    lines = [json.loads(line) for line in logs[-1].read_text(encoding='utf-8').splitlines()]
    return [line['few_shot/acc'] for line in lines if 'few_shot/acc' in line]
