"""Generate a small few-shot data set of real video files: coloured shapes that move in ways that have a name.

    python tools/data/make_toy_videos.py --out data/toy_motion

The class of a video is its motion; shape, colour, size, place, pace, background and noise tell nothing about it. The
classes of train, val and test are disjoint. A second run reuses the files of the first. The folder then holds

    videos/<class name>/<nnn>.mp4
    train.txt, val.txt, test.txt    lines `<class name>/<nnn>.mp4<TAB><label>`, for VideoDataset with TAB as delimiter
    classes.txt                     one class name a line; its line is its label, counted through all three splits
    manifest.json                   the arguments that made the folder
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.progress import track

FORMAT_VERSION = 1  # raise it when the same arguments make other videos
SPLITS = ('train', 'val', 'train', 'test')  # of labels 0, 1, 2, 3 and so on: half train, a quarter val, a quarter test
SHAPES = {'square': (4, np.pi / 4), 'diamond': (4, 0.0), 'triangle': (3, -np.pi / 2), 'disc': (32, 0.0)}


class Motion(NamedTuple):
    """What the shape of a class does.

    Attributes:
        points: Positions ``(x, y)`` that it passes at an even pace: x rightwards, y downwards, -1 to 1 over its reach.
        scales: Its relative size, evenly spaced in time.
    """

    points: tuple[tuple[float, float], ...] = ((0, 0), (0, 0))
    scales: tuple[float, ...] = (1, 1)


def circle(direction: int) -> Motion:
    """Once around, starting at the top; clockwise where ``direction`` is 1."""
    angles = direction * np.linspace(0, 2 * np.pi, 25)
    return Motion(tuple(zip(np.sin(angles), -np.cos(angles))))


# Neighbours go to different splits, so that each split gets straight, bent and repeated motions.
MOTIONS = {
    'moving right': Motion(((-1, 0), (1, 0))),
    'moving left': Motion(((1, 0), (-1, 0))),
    'moving up': Motion(((0, 1), (0, -1))),
    'moving down': Motion(((0, -1), (0, 1))),
    'moving right then down': Motion(((-1, -1), (1, -1), (1, 1))),
    'moving up then left': Motion(((1, 1), (1, -1), (-1, -1))),
    'moving left then up': Motion(((1, 1), (-1, 1), (-1, -1))),
    'moving down then right': Motion(((-1, -1), (-1, 1), (1, 1))),
    'growing': Motion(scales=(0.4, 1.8)),
    'growing then shrinking': Motion(scales=(0.4, 1.8, 0.4)),
    'shrinking then growing': Motion(scales=(1.8, 0.4, 1.8)),
    'shrinking': Motion(scales=(1.8, 0.4)),
    'moving right and back': Motion(((-1, 0), (1, 0), (-1, 0))),
    'moving up and back': Motion(((0, 1), (0, -1), (0, 1))),
    'moving down and back': Motion(((0, -1), (0, 1), (0, -1))),
    'moving left and back': Motion(((1, 0), (-1, 0), (1, 0))),
    'circling clockwise': circle(1),
    'rising to the right': Motion(((-1, 1), (1, -1))),
    'falling to the right': Motion(((-1, -1), (1, 1))),
    'circling counterclockwise': circle(-1),
    'rising to the left': Motion(((1, 1), (-1, -1))),
    'zigzagging to the left': Motion(((1, -1), (0.5, 1), (0, -1), (-0.5, 1), (-1, -1))),
    'zigzagging upwards': Motion(((-1, 1), (1, 0.5), (-1, 0), (1, -0.5), (-1, -1))),
    'falling to the left': Motion(((1, -1), (-1, 1))),
}


def make_toy_videos(
    out: str | Path,
    *,
    num_classes: int = len(MOTIONS),
    videos_per_class: int = 20,
    size: int = 64,
    frames: int = 24,
    seed: int = 0,
    workers: int = 1,
) -> Path:
    """Write the data set, or leave it alone where the same arguments have made it before.

    Args:
        out: Folder of the data set.
        num_classes: The first so many of :data:`MOTIONS`, divided by :data:`SPLITS`.
        videos_per_class: Videos of each class.
        size: Height and width in pixels.
        frames: Frames of each video.
        seed: Of all that varies among the videos of a class.
        workers: Processes that write videos; the result does not depend on it.

    Returns:
        ``out`` as a path.

    Raises:
        ValueError: If an argument is out of range.
    """
    limits = dict(
        num_classes=(len(SPLITS), len(MOTIONS)), videos_per_class=(2, 1000), size=(32, 1024), frames=(1, 1000)
    )
    arguments = dict(num_classes=num_classes, videos_per_class=videos_per_class, size=size, frames=frames)
    for name, (low, high) in limits.items():
        if not low <= arguments[name] <= high:
            raise ValueError(f'{name} must be {low} to {high}, but is {arguments[name]}.')
    if size % 2 or size in (48, 72):
        raise ValueError(f'size must be even, and not 48 or 72, which decord cannot read, but is {size}. Try 64.')
    out, names = Path(out), list(MOTIONS)[:num_classes]
    manifest = json.dumps(dict(arguments, format=FORMAT_VERSION, seed=seed), indent=2) + '\n'
    tasks = [(label, number) for label in range(num_classes) for number in range(videos_per_class)]
    if is_complete(out, manifest, tasks):
        print(f'{out} already holds these {len(tasks)} videos.')
        return out

    (out / 'manifest.json').unlink(missing_ok=True)
    for name in names:
        (out / 'videos' / name).mkdir(parents=True, exist_ok=True)
    make = partial(make_video, out=out, num_frames=frames, size=size, seed=seed)
    write_all(make, tasks, workers=workers)
    for split in dict.fromkeys(SPLITS):
        chosen = [task for task in tasks if SPLITS[task[0] % len(SPLITS)] == split]
        lines = [f'{video_name(*task)}\t{task[0]}\n' for task in chosen]
        (out / f'{split}.txt').write_text(''.join(lines), encoding='utf-8')
    (out / 'classes.txt').write_text(''.join(f'{name}\n' for name in names), encoding='utf-8')
    # The manifest comes last, so that an interrupted run is not taken for a complete one.
    (out / 'manifest.json').write_text(manifest, encoding='utf-8')
    return out


def video_name(label: int, number: int) -> str:
    """File of a video below ``videos/``."""
    return f'{list(MOTIONS)[label]}/{number:03d}.mp4'


def is_complete(out: Path, manifest: str, tasks: Sequence[tuple[int, int]]) -> bool:
    """Whether ``out`` was made by the arguments of ``manifest`` and lacks no file."""
    found = out / 'manifest.json'
    return (
        found.is_file()
        and found.read_text(encoding='utf-8') == manifest
        and all((out / f'{name}.txt').is_file() for name in (*SPLITS, 'classes'))
        and all((out / 'videos' / video_name(*task)).is_file() for task in tasks)
    )


def write_all(make: partial, tasks: Sequence[tuple[int, int]], *, workers: int) -> None:
    """Call ``make`` for every task, in so many processes, behind a progress bar."""
    description = f'Writing {len(tasks)} videos'
    if workers <= 1:
        for task in track(tasks, description):
            make(task)
        return
    with ProcessPoolExecutor(workers) as pool:
        for _ in track(pool.map(make, tasks, chunksize=8), description, len(tasks)):
            pass


def make_video(task: tuple[int, int], *, out: Path, num_frames: int, size: int, seed: int) -> None:
    """Write the video ``(label, number)``; it depends on these arguments alone, not on what was made before it."""
    rng = np.random.RandomState([seed, *task])
    motion = list(MOTIONS.values())[task[0]]
    write_video(out / 'videos' / video_name(*task), render(motion, rng, num_frames=num_frames, size=size))


def render(motion: Motion, rng: np.random.RandomState, *, num_frames: int, size: int) -> np.ndarray:
    """Frames ``[T, size, size, 3]`` (uint8, BGR) of one video; all but the motion is drawn from ``rng``."""
    corners, turn = SHAPES[list(SHAPES)[rng.randint(len(SHAPES))]]
    color = bgr(rng.randint(180), rng.randint(60, 256), rng.randint(200, 256))
    backdrop = bgr(rng.randint(180), rng.randint(0, 160), rng.randint(10, 70))
    radius, reach = size * rng.uniform(0.11, 0.16), size * rng.uniform(0.26, 0.33)
    center = size * (0.5 + rng.uniform(-0.06, 0.06, 2))
    progress = np.linspace(0, 1, num_frames) ** rng.uniform(0.8, 1.25)

    points = np.array(motion.points, dtype=float)
    way = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    positions = np.stack([np.interp(progress * way[-1], way, axis) for axis in points.T], axis=1)
    scales = np.interp(progress, np.linspace(0, 1, len(motion.scales)), motion.scales)

    angles = turn + 2 * np.pi * np.arange(corners) / corners
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    frames = np.full((num_frames, size, size, 3), backdrop, np.uint8)
    for frame, position, scale in zip(frames, positions, scales):
        draw_polygon(frame, center + reach * position + radius * scale * outline, color)
    return np.clip(frames + rng.normal(0, 5, frames.shape), 0, 255).astype(np.uint8)


def bgr(hue: int, saturation: int, value: int) -> tuple[int, ...]:
    """A colour of OpenCV's hue circle (0 to 179), in its channel order."""
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    return tuple(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist())


def draw_polygon(frame: np.ndarray, corners: np.ndarray, color: Sequence[int]) -> None:
    """Fill the polygon ``corners [n, 2]``, given as ``(x, y)`` in pixels, in ``frame [H, W, 3]``."""
    bits = 4  # fixed point: on whole pixels slow motions would jerk
    cv2.fillPoly(frame, [np.round(corners * 2**bits).astype(np.int32)], color, cv2.LINE_AA, bits)


def write_video(path: str | Path, frames: np.ndarray, *, fps: float = 12) -> None:
    """Encode ``frames [T, H, W, 3]`` (uint8, BGR) as MPEG-4.

    Raises:
        RuntimeError: If OpenCV cannot write the file.
    """
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (width, height))
    if not writer.isOpened():
        raise RuntimeError(
            f'OpenCV cannot write the MPEG-4 video {path}. Check that its folder is writable; if it is, reinstall '
            'OpenCV: pip install --force-reinstall opencv-python'
        )
    for frame in frames:
        writer.write(frame)
    writer.release()


def main(argv: Sequence[str] | None = None) -> None:
    summary, _, details = __doc__.partition('\n')
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', required=True, help='folder of the data set')
    parser.add_argument('--num-classes', type=int, default=len(MOTIONS), help='default: %(default)s')
    parser.add_argument('--videos-per-class', type=int, default=20, help='default: %(default)s')
    parser.add_argument('--size', type=int, default=64, help='height and width in pixels; default: %(default)s')
    parser.add_argument('--frames', type=int, default=24, help='frames of each video; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes; default: one a core')
    make_toy_videos(**vars(parser.parse_args(argv)))


if __name__ == '__main__':
    main()
