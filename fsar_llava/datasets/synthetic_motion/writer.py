"""The benchmark on disk: real video files, their lists by split, and a sheet that shows what the classes look like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from .programs import CLASSES, PROGRAMS, SPLITS
from .renderer import render
from .scenes import Scenes, frame_times, sample_scenes

FORMAT_VERSION = 1  # raise it when the same arguments make other videos
_ALL_PROGRAMS = tuple(program for split in SPLITS for program in PROGRAMS[split])


def class_scenes(label: int, count: int, *, frames: int = 24, seed: int = 0) -> Scenes:
    """True states of the videos of one class; a function of these arguments alone.

    Args:
        label: Global label, an index into ``CLASSES``.
        count: Videos of the class.
        frames: Frames of each video.
        seed: Seed of the benchmark.
    """
    return sample_scenes([_ALL_PROGRAMS[label]] * count, frame_times(frames), np.random.default_rng([seed, label]))


def write_benchmark(
    out: str | Path, *, videos_per_class: int = 60, frames: int = 24, side: int = 64, seed: int = 0, workers: int = 2
) -> Path:
    """Write SyntheticMotion, or leave it alone where the same arguments have made it before.

    Args:
        out: Folder of the data set; afterwards it holds ``videos/<class name>/<nnn>.mp4``, the lists ``train.txt``,
            ``val.txt`` and ``test.txt`` (``<class name>/<nnn>.mp4``, TAB, label), ``classes.txt``, ``manifest.json``
            and ``contact_sheet.png``.
        videos_per_class: Videos of each class.
        frames: Frames of each video, at least 8.
        side: Height and width in pixels.
        seed: Seed of everything that varies.
        workers: Processes that draw and encode; the result does not depend on it.

    Returns:
        ``out`` as a path.

    Raises:
        ValueError: If an argument is out of range.
    """
    arguments = {'videos_per_class': videos_per_class, 'frames': frames, 'side': side, 'seed': seed}
    limits = {'videos_per_class': (2, 999), 'frames': (8, 1000), 'side': (32, 1024), 'seed': (0, 2**31)}
    for name, (low, high) in limits.items():
        if not low <= arguments[name] <= high:
            raise ValueError(f'{name} must be {low} to {high}, but is {arguments[name]}.')
    out = Path(out)
    manifest = json.dumps({'format': FORMAT_VERSION, **arguments}, indent=2) + '\n'
    if _is_complete(out, manifest, videos_per_class):
        print(f'{out} already holds these {len(CLASSES) * videos_per_class} videos.')
        return out
    (out / 'manifest.json').unlink(missing_ok=True)
    write = partial(_write_class, out=out, count=videos_per_class, frames=frames, side=side, seed=seed)
    _write_classes(write, videos_per_class, workers)
    first = 0
    for split in SPLITS:
        labels = range(first, first + len(PROGRAMS[split]))
        lines = [f'{video_name(label, i)}\t{label}\n' for label in labels for i in range(videos_per_class)]
        (out / f'{split}.txt').write_text(''.join(lines), encoding='utf-8')
        first += len(PROGRAMS[split])
    (out / 'classes.txt').write_text(''.join(f'{name}\n' for name in CLASSES), encoding='utf-8')
    cv2.imwrite(str(out / 'contact_sheet.png'), contact_sheet(side=side, seed=seed)[..., ::-1])
    (out / 'manifest.json').write_text(manifest, encoding='utf-8')  # last: what was interrupted is not complete
    return out


def video_name(label: int, number: int) -> str:
    """File of a video below ``videos/``."""
    return f'{CLASSES[label]}/{number:03d}.mp4'


def contact_sheet(labels: Sequence[int] = range(len(CLASSES)), *, side: int = 64, seed: int = 0) -> np.ndarray:
    """One clip of each class as a row of eight frames under its name, in two panels side by side.

    Args:
        labels: Global labels; by default all of them.
        side: Height and width of a frame.
        seed: Seed of the benchmark; the clip is the class's first video.

    Returns:
        RGB picture ``[H, W, 3]``, uint8.
    """
    rows = [_sheet_row(label, side, seed) for label in labels]
    rows += [np.full_like(rows[0], 255)] * (len(rows) % 2)
    half = len(rows) // 2
    gap = np.full((half * rows[0].shape[0], 12, 3), 255, np.uint8)
    return np.hstack([np.vstack(rows[:half]), gap, np.vstack(rows[half:])])


def _sheet_row(label: int, side: int, seed: int) -> np.ndarray:
    clip = render(class_scenes(label, 1, frames=8, seed=seed), side=side)[0]
    strip = np.hstack([np.pad(frame, ((0, 2), (0, 2), (0, 0)), constant_values=255) for frame in clip])
    title = np.full((16, strip.shape[1], 3), 255, np.uint8)
    split = next(s for s in SPLITS if _ALL_PROGRAMS[label] in PROGRAMS[s])
    text = f'{split} {label}: {CLASSES[label]}'
    cv2.putText(title, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([title, strip])


def _is_complete(out: Path, manifest: str, count: int) -> bool:
    found = out / 'manifest.json'
    return (
        found.is_file()
        and found.read_text(encoding='utf-8') == manifest
        and all((out / f'{name}.txt').is_file() for name in (*SPLITS, 'classes'))
        and all((out / 'videos' / video_name(c, i)).is_file() for c in range(len(CLASSES)) for i in range(count))
    )


def _write_classes(write: partial, videos_per_class: int, workers: int) -> None:
    from rich.progress import track

    labels = range(len(CLASSES))
    description = f'Writing {len(CLASSES) * videos_per_class} videos'
    if workers <= 1:
        for label in track(labels, description):
            write(label)
        return
    with ProcessPoolExecutor(workers) as pool:
        for _ in track(pool.map(write, labels), description, len(CLASSES)):
            pass


def _write_class(label: int, *, out: Path, count: int, frames: int, side: int, seed: int) -> None:
    folder = out / 'videos' / CLASSES[label]
    folder.mkdir(parents=True, exist_ok=True)
    clips = render(class_scenes(label, count, frames=frames, seed=seed), side=side)
    for i, clip in enumerate(clips):
        _write_video(folder / f'{i:03d}.mp4', clip)


def _write_video(path: Path, frames: np.ndarray, *, fps: float = 12) -> None:
    """Encode RGB frames ``[T, H, W, 3]`` as MPEG-4."""
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (width, height))
    if not writer.isOpened():
        raise RuntimeError(
            f'OpenCV cannot write the MPEG-4 video {path}. Check that its folder is writable; if it is, reinstall '
            'OpenCV: pip install --force-reinstall opencv-python'
        )
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
