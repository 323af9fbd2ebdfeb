"""Shows how fast an extraction is and how long it will take."""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

SECONDS_BETWEEN_LINES = 30


class ExtractionProgress:
    """Videos done, videos per second and the time left: a bar on a terminal, now and then a line elsewhere.

    Use it as a context manager and call it with the number of videos that were done.

    Args:
        total: Videos to do.
        name: Stands in front.
        quiet: Show nothing.
    """

    def __init__(self, total: int, name: str, *, quiet: bool = False) -> None:
        self.total, self.name, self.quiet = total, name, quiet
        self.done = 0
        self._began = self._last = time.monotonic()
        self._bar = None
        if not quiet and sys.stdout.isatty():
            columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), _SpeedColumn()
            self._bar = Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True))
            self._task = self._bar.add_task(name, total=total)

    def __enter__(self) -> ExtractionProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, count: int) -> None:
        """Advance by some videos."""
        self.done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif not self.quiet:
            self._print()

    def _print(self) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES and self.done < self.total:
            return
        self._last, speed = now, self.done / max(now - self._began, 1e-9)
        left = (self.total - self.done) / max(speed, 1e-9)
        print(f'{self.name}: {self.done}/{self.total}, {speed:.1f} videos/s, {left:.0f} s left', flush=True)


class _SpeedColumn(ProgressColumn):
    """Videos per second of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed or 0
        return Text(f'{speed:.1f} videos/s')
