"""All numbers of the table, as plain dicts."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

from .checks import make_checks
from .recipes import TASKS, metrics
from .results import Score, difference, score, validations
from .rows import Row
from .settings import Settings
from .stages import Outcome
from .tasks import training_free_rows


class FreeKey(NamedTuple):
    """One cell of the metrics without training."""

    layer: int
    modality: str
    centred: bool
    metric: str
    task: str


class Table:
    """Reads all results of a run.

    Args:
        settings: Of the run.
        outcome: Of the stages.
    """

    def __init__(self, settings: Settings, outcome: Outcome) -> None:
        self.settings, self.outcome = settings, outcome
        self.free = self._free('test')
        self.headline = {name: self._tasks(rows) for name, rows in outcome.rows.headline.items()}
        self.clip = {name: self._tasks(rows) for name, rows in outcome.rows.clip.items()}
        self.full = self._tasks(outcome.rows.full)
        self.without = {part: self._tasks(rows) for part, rows in outcome.rows.without.items()}
        self.grid = {cell: self._tasks(rows) for cell, rows in outcome.rows.grid.items()}
        self.layers = {layer: self._tasks(rows) for layer, rows in outcome.rows.layers.items()}
        self.episodes = {count: self._tasks(rows) for count, rows in outcome.rows.episodes.items()}
        one_shot = {name: tasks['1shot'] for name, tasks in self.headline.items() if '1shot' in tasks}
        best = {layer: found[1] for layer in settings.layers if (found := self.best_free('1shot', layer))}
        self.checks = make_checks(outcome.choices.layer, best, one_shot)

    def best_free(self, task: str, layer: int | None = None) -> tuple[FreeKey, Score] | None:
        """The best metric without training on a layer, or on any, on meta-test."""
        found = [(k, s) for k, s in self.free.items() if k.task == task and layer in (None, k.layer)]
        return max(found, key=lambda item: item[1].acc, default=None)

    def gap(self, rows: list[Row], reference: list[Row] | None = None) -> tuple[float, float] | None:
        """1-shot difference to the full model with the same seeds, and half the width of its interval.

        Args:
            rows: A row for each seed.
            reference: The full model, trained for as many episodes; by default as the ablations are.
        """
        full = {row.seed: row for row in reference or self.outcome.rows.full}
        same = [row for row in rows if row.seed in full]
        return difference(self.settings, same, [full[row.seed] for row in same], '1shot')

    def curves(self) -> dict[str, list[list[float]]]:
        """Meta-val accuracy after each quarter of each headline training, by method."""
        headline = self.outcome.rows.headline
        return {name: [validations(self.settings, row) for row in rows] for name, rows in headline.items()}

    def as_dict(self) -> dict:
        """Everything, for ``table.json``."""
        choices = self.outcome.choices
        rows = self.outcome.rows

        def cells(scores: dict) -> dict:
            return {key: asdict(value) for key, value in scores.items()}

        def tasks(scores: dict) -> dict:
            return {str(name): cells(found) for name, found in scores.items()}

        return dict(
            choices=asdict(choices),
            steps=self.outcome.record,
            checks=self.checks,
            headline=tasks(self.headline),
            training_free=[dict(key._asdict(), **asdict(found)) for key, found in self.free.items()],
            training_free_meta_val=[dict(k._asdict(), **asdict(found)) for k, found in self._free('val').items()],
            full=cells(self.full),
            without={
                part: dict(cells(found), difference=self.gap(rows.without[part]))
                for part, found in self.without.items()
            },
            grid=tasks({f'{fusion}, {metric}': found for (fusion, metric), found in self.grid.items()}),
            layers=tasks(self.layers),
            episodes=tasks(self.episodes),
            clip=tasks(self.clip),
            curves=self.curves(),
            failed=self.outcome.failed,
        )

    def _tasks(self, rows: list[Row]) -> dict[str, Score]:
        """Scores of rows that differ in the seed, by task."""
        return {task: found for task in TASKS if (found := score(self.settings, rows, 'test', task))}

    def _free(self, split: str) -> dict[FreeKey, Score]:
        found = {}
        for (layer, centred), row in training_free_rows(self.settings).items():
            for modality in ('visual', 'textual'):
                for metric in metrics():
                    for task in TASKS:
                        one = score(self.settings, [row], split, f'{modality}_{metric}_{task}')
                        if one is not None:
                            found[FreeKey(layer, modality, centred, metric, task)] = one
        return found
