"""The stages in order."""

from __future__ import annotations

from dataclasses import dataclass

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
    first = shipped_choices()
    expected = _on_meta_test(settings, final_rows(settings, first, first))
    pool.expect([*preparation(settings), *_before(settings), *planned(settings, first), *expected])
    pool.run(preparation(settings))
    pool.run(_before(settings))  # made only now: the fingerprint of the data set is part of every job
    choices, record = choose(settings, pool)
    rows = final_rows(settings, choices, first)
    pool.expect(_on_meta_test(settings, rows))
    pool.run(_on_meta_test(settings, rows))
    return Outcome(choices, record, rows, list(pool.failed))


def _before(settings: Settings) -> list[Job]:
    """All that needs no choice."""
    return [*extraction(settings), *centering(settings), *training_free_jobs(settings, 'val')]


def _on_meta_test(settings: Settings, rows: FinalRows) -> list[Job]:
    """All that comes after the choices."""
    return [*training_free_jobs(settings, 'test'), *final_jobs(settings, rows)]
