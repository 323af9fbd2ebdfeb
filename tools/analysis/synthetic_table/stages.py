"""The stages in order."""

from __future__ import annotations

from dataclasses import dataclass

from fsar_llava.datasets.synthetic_motion import reversed_pairs

from .choosing import choose, planned
from .final import FinalRows, final_jobs, final_rows
from .jobs import Job, Pool
from .recipes import Choices, shipped_choices
from .settings import Settings
from .tasks import centering, extraction, preparation, training_free_jobs


@dataclass(frozen=True)
class Outcome:
    """What the report is made from.

    Attributes:
        choices: As meta-val made them.
        record: How, step by step.
        rows: What was tested on meta-test.
        failed: Names of jobs that failed.
    """

    choices: Choices
    record: list[dict]
    rows: FinalRows
    failed: list[str]


def run_stages(settings: Settings, pool: Pool) -> Outcome:
    """Data and tokens; metrics without training and choices on meta-val; then everything on meta-test."""
    pairs = [list(pair) for pair in reversed_pairs('test')]
    first = shipped_choices()
    pool.expect([*preparation(settings), *_before(settings, pairs), *_after(settings, first, first, pairs)])
    pool.run(preparation(settings))
    pool.run(_before(settings, pairs))
    choices, record = choose(settings, pool)
    pool.expect(_after(settings, choices, first, pairs))
    rows = final_rows(settings, choices, first)
    pool.run([*training_free_jobs(settings, 'test', pairs), *final_jobs(settings, rows, pairs)])
    return Outcome(choices, record, rows, list(pool.failed))


def _before(settings: Settings, pairs: list) -> list[Job]:
    """What needs no choice."""
    return [*extraction(settings), *centering(settings), *training_free_jobs(settings, 'val', pairs)]


def _after(settings: Settings, choices: Choices, first: Choices, pairs: list) -> list[Job]:
    """What depends on the choices, as far as they are known."""
    final = final_jobs(settings, final_rows(settings, choices, first), pairs)
    return [*planned(settings, choices), *training_free_jobs(settings, 'test', pairs), *final]
