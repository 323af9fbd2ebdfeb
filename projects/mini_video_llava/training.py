"""What the trainings of the miniatures share: options, schedule, progress and checkpoints."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

WARM_UP = 100
CONSTANT, LOWEST = 0.6, 0.02


def add_options(parser: argparse.ArgumentParser, project: Path, *, threads: int) -> None:
    """Seed, learning rate, places, checkpoints, log and device.

    Args:
        parser: Gets the options.
        project: Folder of the project, where the weights go.
        threads: Default of ``--threads``.
    """
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--lr', type=float, default=1e-3, help='peak learning rate')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs') / project.name)
    parser.add_argument('--out', type=Path, default=project / 'weights')
    parser.add_argument('--save-every', type=int, default=100, help='steps between checkpoints')
    parser.add_argument('--log-every', type=int, default=25)
    parser.add_argument('--threads', type=int, default=threads)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')


def learning_rate(peak: float, step: int, steps: int) -> float:
    """Linear warm-up over 100 steps, the peak until 60 % of the steps, then down to 2 % of it in half a cosine."""
    fall = max(0.0, step / steps - CONSTANT) / (1 - CONSTANT)
    return peak * min(1.0, (step + 1) / WARM_UP) * (LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * fall)))


class Progress:
    """Means of what a training tells, and how long it takes."""

    def __init__(self) -> None:
        self.told: dict[str, list[float]] = {}
        self.began = time.time()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Note the numbers of one step."""
        for name, value in values.items():
            self.told.setdefault(name, []).append(float(value.detach()))

    def report(self, title: str) -> float:
        """Print the means since the last report.

        Returns:
            Seconds since then.
        """
        now = time.time()
        took, self.began = now - self.began, now
        means = ' '.join(f'{name} {sum(values) / len(values):.3f}' for name, values in self.told.items())
        print(f'{title} {took / len(self.told["loss"]):.2f} s/step {means}', flush=True)
        self.told = {}
        return took


def write_checkpoint(file: Path, state: Mapping) -> None:
    """Write a checkpoint, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state), file.with_suffix('.tmp'))
    file.with_suffix('.tmp').replace(file)


def read_checkpoint(file: Path, device: str) -> dict | None:
    """The last checkpoint, None if there is none."""
    return torch.load(file, map_location=device, weights_only=True) if file.exists() else None
