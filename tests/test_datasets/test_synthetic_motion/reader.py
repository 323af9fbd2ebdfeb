"""A rule that reads the program off the true trajectories; it knows nothing of how the generator draws them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def read_program(position: np.ndarray, size: np.ndarray, opacity: np.ndarray) -> tuple[str, ...]:
    """Read what object 0 does.

    Args:
        position: Centres ``[T, 2, 2]``.
        size: Diameters ``[T, 2]``.
        opacity: Opacities ``[T, 2]``.
    """
    steps = []
    for t in range(1, len(position)):
        dx, dy = position[t, 0] - position[t - 1, 0]
        gap = [np.hypot(*(position[i, 0] - position[i, 1])) for i in (t - 1, t)]
        ds, do = size[t, 0] - size[t - 1, 0], opacity[t, 0] - opacity[t - 1, 0]
        degrees = np.degrees(np.arctan2(-dy, dx)) % 360
        if np.hypot(dx, dy) > 2e-3:
            nearest = round(degrees / 90) % 4
            if abs((degrees - 90 * nearest + 180) % 360 - 180) < 15:
                steps.append(('right', 'up', 'left', 'down')[nearest])
            else:
                steps.append('approaches' if gap[1] < gap[0] else 'leaves')
        elif abs(ds) > 5e-4:
            steps.append('grows' if ds > 0 else 'shrinks')
        elif abs(do) > 2e-3:
            steps.append('brightens' if do > 0 else 'fades')
    program = []
    for before, step in pairwise(steps):
        if step == before and program[-1:] != [step]:  # one interval alone may lie across a change
            program.append(step)
    return tuple(program)
