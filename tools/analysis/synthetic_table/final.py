"""What is tested on meta-test once all choices are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .jobs import Job
from .recipes import SHOTS, TASKS, Choices, clip, grid, known, linear, tasks, trained
from .rows import Row
from .settings import EPOCHS, Settings, weights
from .tasks import test, train


@dataclass(frozen=True)
class FinalRows:
    """Rows by what they show; where a list is inside, it has one row a seed.

    Attributes:
        headline: By method.
        full: FSAR-LLaVA with the seeds of the ablations: what they are compared with.
        without: By the part that is left out.
        grid: By fusion and metric.
        layers: By layer.
        episodes: By number of training episodes, up to that of the headline.
        clip: By method; those whose weights are there.
    """

    headline: dict[str, list[Row]]
    full: list[Row]
    without: dict[str, list[Row]]
    grid: dict[tuple[str, str], list[Row]]
    layers: dict[int, list[Row]]
    episodes: dict[int, list[Row]]
    clip: dict[str, list[Row]]

    @property
    def others(self) -> list[Row]:
        """All rows that are not tested on reversed pairs."""
        # Known prompts are slow to test: every query has one of its own in every episode.
        several = [self.headline['known'], *self.clip.values(), *self.without.values(), *self.grid.values()]
        several += [*self.layers.values(), *self.episodes.values(), self.full]
        return [row for rows in several for row in rows]


def final_rows(settings: Settings, choices: Choices, first: Choices) -> FinalRows:
    """The rows that follow from the choices.

    Args:
        settings: Of the run.
        choices: All of them.
        first: What they were when the layer was chosen: with it the layers were trained.
    """
    seeds, few = settings.seeds, settings.ablation_seeds

    def full(chosen: Choices = choices, **options: object) -> list[Row]:
        options = {'episodes': settings.choice_episodes, **options}
        return [trained(settings, chosen, seed, **options) for seed in few]

    headline = {
        'linear-visual': [linear(settings, choices, seed, 'visual') for seed in seeds],
        'linear-both': [linear(settings, choices, seed, 'both') for seed in seeds],
        'unknown': [trained(settings, choices, seed) for seed in seeds],
        'known': [known(settings, choices, seed) for seed in settings.video_seeds],
    }
    counts = [max(EPOCHS, int(settings.train_episodes * part)) for part in settings.fractions]
    return FinalRows(
        headline=headline,
        full=full(),
        without={part: full(without=part) for part in settings.parts},
        grid={(c.fusion, c.metric): full(c) for c in grid(settings, choices)},
        layers={k: full(replace(first, layer=k))[:1] for k in settings.layers if k},
        episodes={count: full(episodes=count) for count in counts}
        | {settings.train_episodes: full(episodes=settings.train_episodes)},
        clip={
            method: [clip(settings, method, seed) for seed in settings.video_seeds]
            for method in settings.clip
            if weights(method).is_dir()
        },
    )


def final_jobs(settings: Settings, rows: FinalRows) -> list[Job]:
    """Trainings that are still to be done, and the one test of each row on meta-test."""
    wanted = [(row, TASKS) for name, same in rows.headline.items() if name != 'known' for row in same]
    wanted += [(row, SHOTS) for row in rows.others]
    tests: dict[str, tuple[Row, tuple[str, ...]]] = {}
    for row, names in wanted:  # a row that is wanted twice: the first has more tasks
        tests.setdefault(row.name, (row, names))
    jobs = []
    for row, names in tests.values():
        jobs += [train(settings, row), test(settings, row, 'test', tasks(*names))]
    return jobs
