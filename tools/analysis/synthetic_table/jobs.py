"""Runs the standard tools, some at a time, and nothing twice."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import multiprocessing
import os
import runpy
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from .settings import REPOSITORY

# Each job is a process of its own, forked from one that has imported what all of them need: that spares each job the
# five seconds that these imports take.
PRELOAD = ['fsar_llava', 'mmaction.datasets', 'mmaction.models', 'mmengine.runner', 'matplotlib.pyplot']
THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


@dataclass(frozen=True)
class Job:
    """One call of a tool.

    Attributes:
        name: Row and phase, for example ``'training-free_layer3/test'``.
        folder: Its log ``<phase>.log`` and the proof that it is done ``<phase>.json`` go there.
        tool: Path of the tool in the repository.
        arguments: Gives the tool's arguments; called when the job starts.
        files: Files to write beforehand, by path.
        weight: Expected seconds on one idle core, for the time left.
        inputs: Whatever else decides the result; a job is done again when it or ``files`` change.
        product: A file without which the job is not done.
        after: Name of the job that has to be over before.
        clean: What an earlier attempt may have left in ``folder``, as patterns; it is removed.
    """

    name: str
    folder: Path
    tool: str
    arguments: Callable[[], list[str]]
    files: dict[Path, str] = field(default_factory=dict)
    weight: float = 10.0
    inputs: str = ''
    product: Path | None = None
    after: str | None = None
    clean: tuple[str, ...] = ()

    @property
    def phase(self) -> str:
        """What is done with the row."""
        return self.name.rpartition('/')[2]

    @property
    def log(self) -> Path:
        """What the tool prints."""
        return self.folder / f'{self.phase}.log'

    @property
    def proof(self) -> Path:
        """Written when the job has succeeded."""
        return self.folder / f'{self.phase}.json'

    @property
    def key(self) -> str:
        """Changes when the job has to be done again."""
        parts = [self.tool, self.inputs, *self.files.values()]
        return hashlib.sha256('\0'.join(parts).encode()).hexdigest()

    def is_done(self) -> bool:
        """Whether an earlier run has done exactly this."""
        if self.product is not None and not self.product.exists():
            return False
        try:
            return json.loads(self.proof.read_text(encoding='utf-8'))['key'] == self.key
        except (OSError, ValueError, KeyError):
            return False


class Pool:
    """Runs jobs side by side and reports on one line.

    Args:
        size: How many at a time.
        only: Pattern of the rows' names; others are passed over.
    """

    def __init__(self, size: int, only: str = '*') -> None:
        self.size, self.only = size, only
        self.planned: dict[str, float] = {}
        self.finished: dict[str, float] = {}
        self.failed: dict[str, Path] = {}
        self.began = time.time()
        self._context = multiprocessing.get_context('forkserver')
        self._context.set_forkserver_preload(PRELOAD)
        os.environ.update(dict.fromkeys(THREADS, '1'))

    def expect(self, jobs: Sequence[Job]) -> None:
        """Say what is to come, for the time left; what an earlier plan had and is not done is dropped."""
        kept = {name: weight for name, weight in self.planned.items() if name in self.finished.keys() | self.failed}
        self.planned = kept | {job.name: job.weight for job in self._wanted(jobs) if not job.is_done()}

    def run(self, jobs: Sequence[Job]) -> None:
        """Run those jobs that are not done and not passed over. Failures are noted, and the others go on."""
        queue = [job for job in self._wanted(jobs) if job.name not in self.failed and not job.is_done()]
        self.planned.update({job.name: job.weight for job in queue})
        running: dict[int, tuple[Job, object, float]] = {}
        try:
            while queue or running:
                while len(running) < self.size and (job := self._next(queue, running)):
                    queue.remove(job)
                    self._start(job, running)
                for sentinel in wait(list(running), timeout=1):
                    self._finish(*running.pop(sentinel))
                self._report()
        finally:
            for _, process, _ in running.values():
                process.terminate()

    def seconds(self) -> float:
        """Since the start."""
        return time.time() - self.began

    def _wanted(self, jobs: Sequence[Job]) -> list[Job]:
        unique = {job.name: job for job in jobs}
        return [job for name, job in unique.items() if fnmatch.fnmatch(name.rpartition('/')[0], self.only)]

    @staticmethod
    def _next(queue: list[Job], running: dict) -> Job | None:
        """The first job that waits for no other."""
        pending = {job.name for job in queue} | {job.name for job, *_ in running.values()}
        return next((job for job in queue if job.after not in pending), None)

    def _start(self, job: Job, running: dict) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        job.proof.unlink(missing_ok=True)
        for left in (path for pattern in job.clean for path in job.folder.glob(pattern)):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for path, text in job.files.items():
            path.write_text(text, encoding='utf-8')
        try:
            if job.after in self.failed:
                raise FileNotFoundError(f'{job.after} has failed, see {self.failed[job.after]}.')
            arguments = job.arguments()
        except FileNotFoundError as error:  # what it builds on has failed
            job.log.write_text(f'{error}\n', encoding='utf-8')
            self.failed[job.name] = job.log
            return
        process = self._context.Process(target=run_tool, args=(job.tool, arguments, str(job.log)))
        process.start()
        running[process.sentinel] = job, process, time.time()

    def _finish(self, job: Job, process: object, began: float) -> None:
        process.join()
        if process.exitcode:
            self.failed[job.name] = job.log
            return
        seconds = time.time() - began
        proof = dict(key=job.key, tool=job.tool, seconds=round(seconds, 1))
        job.proof.write_text(json.dumps(proof, indent=2) + '\n', encoding='utf-8')
        self.finished[job.name] = job.weight

    def _report(self) -> None:
        gone = self.finished.keys() | self.failed.keys()
        done = sum(weight for name, weight in self.planned.items() if name in gone)
        left = sum(weight for name, weight in self.planned.items() if name not in gone)
        elapsed = self.seconds()
        remaining = f'{elapsed / done * left / 60:.0f} min left' if done else 'time left unknown'
        text = f'{len(gone & self.planned.keys())}/{len(self.planned)} jobs, {elapsed / 60:.1f} min, {remaining}'
        text += f', {len(self.failed)} failed' if self.failed else ''
        if sys.stdout.isatty():
            print(f'\r{text:<79}', end='' if left else '\n', flush=True)
        elif text.partition(' ')[0] != getattr(self, '_said', ''):
            self._said = text.partition(' ')[0]
            print(text, flush=True)


def run_tool(tool: str, arguments: list[str], log: str) -> None:
    """Be ``python <tool> <arguments>``, with everything printed into a file."""
    with open(log, 'w', encoding='utf-8', buffering=1) as file:
        print(f'cd {REPOSITORY}\npython {tool} {" ".join(arguments)}', file=file)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.chdir(REPOSITORY)
        sys.argv = [tool, *arguments]
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                runpy.run_path(str(REPOSITORY / tool), run_name='__main__')
        except BaseException as error:
            if not (isinstance(error, SystemExit) and not error.code):
                traceback.print_exc(file=file)
                raise SystemExit(1) from None
