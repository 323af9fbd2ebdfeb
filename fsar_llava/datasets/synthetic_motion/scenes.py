"""From programs to trajectories: where both shapes are at any time, with every nuisance drawn independently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .programs import AXES, Program

NUM_COLORS = 8
SHAPES = ('circle', 'square', 'triangle', 'diamond', 'hexagon', 'cross', 'star', 'bar')

_DIRECTIONS = {'right': (1, 0), 'left': (-1, 0), 'up': (0, -1), 'down': (0, 1)}
_MARGIN = 0.13
_GAP = (0.2, 0.3)  # distance between both shapes where they are closest in an approach
_CLEARANCE = 0.19  # the bystander keeps this far from the path where it can
_CANDIDATES = 12  # places tried for the bystander


@dataclass(frozen=True)
class Scenes:
    """True state of ``V`` clips at ``T`` times; object 0 acts, object 1 is the bystander that is always there.

    Attributes:
        position: Centre in frame widths, camera shake not included, ``[V, T, 2, 2]`` (object, then x and y).
        size: Diameter in frame widths ``[V, T, 2]``.
        opacity: 1 is solid, 0 would be invisible ``[V, T, 2]``.
        color: Index of the hue, different for both objects ``[V, 2]``.
        shape: Index into ``SHAPES`` ``[V, 2]``.
        shake: Offset of the camera in frame widths ``[V, T, 2]``.
        progress: How much of every primitive has been done ``[V, T, MAX]``, for 3 primitives at most.
        seed: One integer a clip, from which the renderer draws colours, textures and background ``[V]``.
    """

    position: np.ndarray
    size: np.ndarray
    opacity: np.ndarray
    color: np.ndarray
    shape: np.ndarray
    shake: np.ndarray
    progress: np.ndarray
    seed: np.ndarray

    def __len__(self) -> int:
        return len(self.position)


def frame_times(num_frames: int) -> np.ndarray:
    """Middle of each of ``num_frames`` equal segments of the clip, in [0, 1]."""
    return (np.arange(num_frames) + 0.5) / num_frames


def sample_scenes(programs: list[Program], times: np.ndarray, rng: np.random.Generator) -> Scenes:
    """Draw one scene for every program.

    Nuisances (hue, shape, size, texture, speed, pauses, start, background, camera shake, the bystander's looks and
    drift) do not depend on the program. Starts are drawn so that the whole path fits into the frame, which treats a
    film and its reverse alike. The bystander avoids the path; where a primitive relates to it, it lies on that line.

    Args:
        programs: One program a clip, of one to three primitives.
        times: Times in [0, 1] ``[T]``.
        rng: Source of randomness.
    """
    clips = [_sample_scene(program, times, rng) for program in programs]
    return Scenes(**{name: np.stack([clip[name] for clip in clips]) for name in clips[0]})


def _sample_scene(program: Program, times: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    starts, ends = _schedule(len(program), rng)
    progress = _ease((times[:, None] - starts) / (ends - starts), rng.random())  # [T, n]
    steps = np.stack([_displacement(primitive, len(program), rng) for primitive in program])  # [n, 2]
    extent = np.ptp(np.vstack([np.zeros(2), steps.cumsum(0)]), axis=0)
    steps *= np.minimum(1, 0.68 / np.maximum(extent, 1e-6)).min()
    path = np.vstack([np.zeros(2), steps.cumsum(0)])  # corners of the path [n + 1, 2]

    relation = next((i for i, primitive in enumerate(program) if primitive in AXES[4]), None)
    corners, anchor = path, None
    if relation is not None:
        anchor = _anchor(program[relation], path[relation], path[relation + 1], rng)
        corners = np.vstack([path, anchor])
    low, high = _MARGIN - corners.min(0), 1 - _MARGIN - corners.max(0)
    start = np.where(high > low, rng.uniform(np.minimum(low, high), np.maximum(low, high)), (low + high) / 2)
    actor = start + progress @ steps
    bystander = _clear_place(path + start, rng) if anchor is None else start + anchor
    moment = 0.5 if relation is None else (starts[relation] + ends[relation]) / 2
    drift = rng.uniform(-0.05, 0.05, 2) * (rng.random() < 0.5)
    bystander = bystander + (times[:, None] - moment) * drift

    size, opacity = _sample_size(program, progress, rng), _sample_opacity(program, progress, rng)
    padded = np.zeros((len(times), 3))
    padded[:, : len(program)] = progress
    return {
        'position': np.stack([actor, bystander], axis=1).astype(np.float32),
        'size': size.astype(np.float32),
        'opacity': opacity.astype(np.float32),
        'color': rng.permutation(NUM_COLORS)[:2],
        'shape': rng.integers(len(SHAPES), size=2),
        'shake': _sample_shake(times, rng).astype(np.float32),
        'progress': padded.astype(np.float32),
        'seed': rng.integers(2**31),
    }


def _schedule(length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of every primitive ``[n]``, with pauses before, between and after them."""
    before, after = rng.uniform(0, 0.3 if length == 1 else 0.12, 2)
    share = rng.uniform(0.8, 1.25, length)
    pauses = rng.uniform(0, 0.06, length - 1)
    duration = (1 - before - after - pauses.sum()) * share / share.sum()
    starts = before + np.concatenate([[0], (duration[:-1] + pauses).cumsum()])
    return starts, starts + duration


def _ease(x: np.ndarray, softness: float) -> np.ndarray:
    """Clip to [0, 1], somewhere between constant speed (softness 0) and a soft start and stop (1)."""
    x = np.clip(x, 0, 1)
    return (1 - softness) * x + softness * x * x * (3 - 2 * x)


def _displacement(primitive: str, length: int, rng: np.random.Generator) -> np.ndarray:
    """Way of one primitive: along an axis up to 6 degrees, or along a diagonal up to 18 where it is a relation."""
    way = rng.uniform(0.28, 0.36) if length == 3 else rng.uniform(0.3, 0.45)
    if primitive in _DIRECTIONS:
        angle = np.arctan2(*_DIRECTIONS[primitive][::-1]) + np.radians(rng.uniform(-6, 6))
    elif primitive in AXES[4]:
        way = rng.uniform(0.28, 0.4)
        angle = np.radians(45 + 90 * rng.integers(4) + rng.uniform(-18, 18))
    else:
        return np.zeros(2)
    return way * np.array([np.cos(angle), np.sin(angle)])


def _anchor(primitive: str, start: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Place of the bystander: ahead of a shape that approaches, behind one that leaves."""
    direction = (end - start) / np.linalg.norm(end - start)
    gap = rng.uniform(*_GAP)
    return end + gap * direction if primitive == 'approaches' else start - gap * direction


def _clear_place(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """First of a few random places that is clear of the path, or the clearest.

    Most are as far from an end of the path, and as diagonal to it, as where a relation would put the bystander.
    """
    ends = path[[0, -1]][rng.integers(2, size=_CANDIDATES)]
    angle = np.radians(45 + 90 * rng.integers(4, size=_CANDIDATES) + rng.uniform(-18, 18, _CANDIDATES))
    distance = np.where(
        rng.random(_CANDIDATES) < 0.5, rng.uniform(*_GAP, _CANDIDATES), rng.uniform(0.48, 0.7, _CANDIDATES)
    )
    related = ends + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    anywhere = rng.uniform(_MARGIN, 1 - _MARGIN, (_CANDIDATES, 2))
    inside = ((related > _MARGIN) & (related < 1 - _MARGIN)).all(1) & (rng.random(_CANDIDATES) < 0.8)
    places = np.where(inside[:, None], related, anywhere)
    along = np.linspace(path[:-1], path[1:], 5).reshape(-1, 2)
    clearance = np.linalg.norm(places[:, None] - along, axis=-1).min(1)
    return places[np.argmax(clearance > _CLEARANCE) if clearance.max() > _CLEARANCE else np.argmax(clearance)]


def _sample_size(program: Program, progress: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Diameters ``[T, 2]``."""
    return _sample_level(program, progress, AXES[2], (0.17, 0.21), (0.31, 0.36), rng)


def _sample_opacity(program: Program, progress: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Opacities ``[T, 2]``."""
    return _sample_level(program, progress, AXES[3], (0.3, 0.4), (0.85, 1.0), rng)


def _sample_level(
    program: Program,
    progress: np.ndarray,
    axis: tuple[str, str],
    low: tuple[float, float],
    high: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Levels ``[T, 2]`` of one property; one that stays is low, between or high as often as one that changes."""
    ends = np.sort([rng.uniform(*low), rng.uniform(*high)])
    still = rng.uniform(*np.array([low, high, (low[1], high[0])])[rng.choice(3, size=2, p=(0.38, 0.38, 0.24))].T)
    actor = _level(program, progress, axis, ends[0], ends[1], still[0])
    return np.stack([actor, np.full(len(progress), still[1])], axis=1)


def _level(
    program: Program, progress: np.ndarray, axis: tuple[str, str], low: float, high: float, still: float
) -> np.ndarray:
    """Level of one property over time ``[T]``; a program that changes it uses the whole range from low to high."""
    signs = np.array([(primitive in axis) * (1 if primitive == axis[0] else -1) for primitive in program])
    ends = np.concatenate([[0], signs.cumsum()])
    if not signs.any():
        return np.full(len(progress), still)
    return low + (high - low) * (progress @ signs - ends.min()) / np.ptp(ends)


def _sample_shake(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth camera shake ``[T, 2]`` of about one pixel in 64: two sines of random phase and frequency."""
    frequency, phase = rng.uniform(1, 4, (2, 2)), rng.uniform(0, 2 * np.pi, (2, 2))
    waves = np.sin(2 * np.pi * frequency * times[:, None, None] + phase).sum(1)
    return waves * rng.uniform(0, 0.012)
