"""Opening many videos to see which can be read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from fsar_llava.datasets.preparation.records import Opened
from fsar_llava.datasets.preparation.scan import FRAME


class VideoOpener:
    """Opens videos in parallel, and remembers what it has seen in a file, so that a killed run is gone on with.

    A video is looked at again if its size or its time changed, or if it could not be read.

    Args:
        root: Folder of the videos.
        cache: File that remembers, a JSON line for each video.
        decoder: ``'decord'`` or ``'pyav'``; ``'frames'`` for folders of images.
        workers: Processes.
    """

    def __init__(self, root: Path, cache: Path, *, decoder: str = 'decord', workers: int = 1) -> None:
        self.root = root
        self.cache = cache
        self.decoder = decoder
        self.workers = workers
        package = dict(decord='decord', pyav='av', frames='cv2')[decoder]
        if find_spec(package) is None:
            other = 'use --decoder pyav' if decoder == 'decord' else f'run: pip install {package}'
            raise ModuleNotFoundError(
                f'The decoder {decoder!r} needs the package {package!r}, which is not there; {other}.'
            )

    def open(self, paths: Sequence[str]) -> dict[str, Opened]:
        """Open videos behind a progress bar.

        Args:
            paths: Relative to the root.
        """
        stamps = {path: self._stamp(path) for path in paths}
        known = {path: opened for path, opened in self._remembered(stamps) if opened.error is None}
        todo = [path for path in paths if path not in known]
        with self.cache.open('a', encoding='utf-8') as cache:
            cache.write('\n')  # a killed run may have left half a line
            for path, opened in _with_progress(self._open_all(todo), len(todo), f'Opening {len(todo)} videos'):
                known[path] = opened
                cache.write(json.dumps(dict(path=path, stamp=stamps[path], **opened._asdict())) + '\n')
                cache.flush()
        return {path: known[path] for path in paths}

    def _open_all(self, paths: Iterable[str]) -> Iterator[tuple[str, Opened]]:
        """Open in processes. One that the decoder crashes takes the pool with it; the suspects are then tried alone."""
        look = partial(open_video, decoder=self.decoder)
        waiting, running = deque(paths), {}
        while waiting:
            try:
                with ProcessPoolExecutor(self.workers, initializer=_silence) as pool:
                    while waiting or running:
                        while waiting and len(running) < 2 * self.workers:
                            future = pool.submit(look, str(self.root / waiting[0]))
                            running[future] = waiting.popleft()
                        yield from _finished(running)
            except BrokenProcessPool:
                yield from [(path, _open_alone(look, str(self.root / path))) for path in running.values()]
                running.clear()

    def _stamp(self, path: str) -> list:
        try:
            status = os.stat(self.root / path)
        except OSError:  # a link to nowhere; opening it will say so
            return [self.decoder, 0, 0]
        return [self.decoder, status.st_size, status.st_mtime_ns]

    def _remembered(self, stamps: dict[str, list]) -> Iterator[tuple[str, Opened]]:
        """What the cache says about videos that have not changed; later lines overrule earlier ones."""
        if not self.cache.is_file():
            return
        with self.cache.open(encoding='utf-8') as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # the last line of a killed run
                    continue
                path, stamp = record.pop('path'), record.pop('stamp')
                if stamps.get(path) == stamp:
                    yield path, Opened(**record)


def open_video(path: str, *, decoder: str) -> Opened:
    """Count the frames of a video, decode its first, middle and last one, and hash its content.

    Args:
        path: A video, or a folder of images.
        decoder: ``'decord'``, ``'pyav'``, or ``'frames'`` for a folder.
    """
    try:
        frames = dict(decord=_open_decord, pyav=_open_pyav, frames=_open_frames)[decoder](path)
        if frames < 1:
            raise ValueError('no frames')
        return Opened(frames, _digest(path))
    except ImportError:
        raise
    except Exception as error:  # a decoder may raise anything
        return Opened(0, '', _in_short(error, path))


def _in_short(error: Exception, path: str) -> str:
    """The first line of an error, without the decoder's time stamps and source files."""
    line = str(error).strip().partition('\n')[0].replace(path, os.path.basename(path))
    return f'{type(error).__name__}: ' + re.sub(r'\[\d\d:\d\d:\d\d\] \S+: ', '', line)[:300]


def _open_decord(path: str) -> int:
    import decord

    reader = decord.VideoReader(path, num_threads=1)
    reader.get_batch(sorted({0, len(reader) // 2, max(len(reader) - 1, 0)}))
    return len(reader)


def _open_pyav(path: str) -> int:
    import av

    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def _open_frames(path: str) -> int:
    import cv2

    names = _images(path)
    for name in {names[0], names[len(names) // 2], names[-1]}:
        if cv2.imread(os.path.join(path, name)) is None:
            raise ValueError(f'the image {name} cannot be read')
    return len(names)


def _images(path: str) -> list[str]:
    return sorted(name for name in os.listdir(path) if FRAME.fullmatch(name) and not name.startswith('.'))


def _digest(path: str) -> str:
    """SHA-256 of a file, or of the images of a folder in the order of their names."""
    digest = hashlib.sha256()
    for file in [os.path.join(path, name) for name in _images(path)] if os.path.isdir(path) else [path]:
        with open(file, 'rb') as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _finished(running: dict[Future, str]) -> list[tuple[str, Opened]]:
    """Wait for at least one video; take those that are done out of ``running``."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    results = [(future, future.result()) for future in done if not _broke(future)]
    finished = [(running.pop(future), opened) for future, opened in results]
    if not finished:
        raise BrokenProcessPool
    return finished


def _broke(future: Future) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _open_alone(look: Callable[[str], Opened], path: str) -> Opened:
    with ProcessPoolExecutor(1, initializer=_silence) as pool:
        try:
            return pool.submit(look, path).result()
        except BrokenProcessPool:
            return Opened(0, '', 'the decoder crashed')


def _silence() -> None:
    """Keep FFmpeg's own messages off the terminal; what is wrong with a video is in the audit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _with_progress(results: Iterator, total: int, description: str) -> Iterator:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # Without auto_refresh there is no second thread, which the forked processes could not bear.
    with Progress(*columns, auto_refresh=False, disable=not total) as progress:
        task, shown = progress.add_task(description, total=total), 0.0
        for result in results:
            yield result
            progress.advance(task)
            if time.monotonic() - shown > 0.2:
                progress.refresh()
                shown = time.monotonic()
        progress.refresh()
