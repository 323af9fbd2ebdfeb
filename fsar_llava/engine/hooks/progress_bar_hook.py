"""A progress bar for training, validation and test."""

from __future__ import annotations

import atexit
import logging
import sys

from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows how far a run is and how long it will take, on the main process and only on a terminal.

    Log lines go on above the bar.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._progress = None
        self._tasks: dict[str, int] = {}
        self._redirected: list[tuple[logging.StreamHandler, object]] = []

    def before_train(self, runner) -> None:
        """Start the bar of the training, at the iteration a resumed run begins with."""
        self._start(runner, 'train', runner.max_iters, runner.iter)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Advance by one iteration."""
        self._advance('train')

    def after_train(self, runner) -> None:
        """End the bar."""
        self._stop('train')

    def before_val_epoch(self, runner) -> None:
        """Start the bar of a validation, below that of the training."""
        self._start(runner, 'val', len(runner.val_dataloader))

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Advance by one batch."""
        self._advance('val')

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Remove the bar of the validation."""
        self._stop('val')

    def before_test_epoch(self, runner) -> None:
        """Start the bar of the test."""
        self._start(runner, 'test', len(runner.test_dataloader))

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Advance by one batch."""
        self._advance('test')

    def after_test_epoch(self, runner, metrics=None) -> None:
        """End the bar."""
        self._stop('test')

    @master_only
    def _start(self, runner, name: str, total: int, done: int = 0) -> None:
        if not sys.stdout.isatty() and self._progress is None:
            return
        if self._progress is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn('{task.description:>5}'),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
            )
            self._progress.start()
            atexit.register(self._progress.stop)  # gives the terminal its cursor back where a run ends early
            # rich prints lines of sys.stdout above the bar; mmengine's handlers still hold the stream from before.
            for handler in runner.logger.handlers:
                if type(handler) is logging.StreamHandler:
                    self._redirected.append((handler, handler.setStream(sys.stdout)))
        self._tasks[name] = self._progress.add_task(name, total=total, completed=done)

    @master_only
    def _advance(self, name: str) -> None:
        if name in self._tasks:
            self._progress.advance(self._tasks[name])

    @master_only
    def _stop(self, name: str) -> None:
        if name not in self._tasks:
            return
        task = self._tasks.pop(name)
        if self._tasks:
            self._progress.remove_task(task)
            return
        self._progress.stop()
        atexit.unregister(self._progress.stop)
        for handler, stream in self._redirected:
            handler.setStream(stream)
        self._progress, self._redirected = None, []
