"""A row: an ordinary config that the standard tools train and test."""

from __future__ import annotations

import pprint
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .settings import EPOCHS, Settings, config_path, shipped

IN_PROCESS = dict(num_workers=0, persistent_workers=False)
"""Dataloaders without processes of their own: rows run side by side, one core each."""


@dataclass(frozen=True)
class Row:
    """One line of the table, or one curve, or one cell.

    Attributes:
        name: Its folder below the output.
        title: What a reader sees.
        kind: Stage that it belongs to.
        base: Key of the shipped config.
        overrides: What differs from it.
        seed: Of the training; None where nothing is trained.
        checkpoint: What is tested where nothing is trained: a file or ``'none'``.
        after: Name of the job that a test waits for where nothing is trained.
    """

    name: str
    title: str
    kind: str
    base: str
    overrides: Mapping = field(default_factory=dict)
    seed: int | None = None
    checkpoint: str = 'none'
    after: str | None = None

    def folder(self, settings: Settings) -> Path:
        """Where everything about the row is."""
        return settings.out / 'rows' / self.name

    def config_text(self, settings: Settings) -> str:
        """The config of the row; its first comment tells how to run it."""
        config = self.folder(settings) / 'config.py'
        lines = [f'# {self.title}, one row of the table that tools/analysis/reproduce_synthetic.py makes.']
        if self.seed is not None:
            lines.append(f'#   python tools/train.py {config} --work-dir {config.parent} --seed {self.seed}')
        return '\n'.join([*lines, python_config(config_path(self.base), self.overrides)])

    def test_text(self, settings: Settings, split: str, tests: Sequence[Mapping]) -> str:
        """The config of its test: the episodes of ``split``, in all of ``tests`` from one pass over the videos."""
        base = shipped(self.base)
        dataset = (base.val_dataloader if split == 'val' else base.test_dataloader).dataset.dataset
        episodes = settings.val_episodes if split == 'val' else settings.test_episodes
        videos = dict(ann_file=dataset.ann_file, data_prefix=dict(dataset.data_prefix))
        overrides = dict(
            test_dataloader=dict(dataset=dict(num_episodes=episodes, dataset=videos)),
            test_cfg=dict(settings=[dict(test) for test in tests]),
        )
        comment = f'# Test of {self.name} on meta-{split}.\n'
        return comment + python_config(self.folder(settings) / 'config.py', overrides)

    def best_checkpoint(self, settings: Settings) -> str:
        """The checkpoint that meta-val chose during the training, or what is tested without one."""
        if self.seed is None:
            return self.checkpoint
        found = sorted(self.folder(settings).glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
        if not found:
            raise FileNotFoundError(f'The training of {self.name} left no best_*.pth in {self.folder(settings)}.')
        return str(found[-1])


def python_config(base: Path, overrides: Mapping) -> str:
    """A config file for mmengine."""
    parts = [
        f'{name} = {pprint.pformat(value, width=110, sort_dicts=False)}' for name, value in _plain(overrides).items()
    ]
    return '\n\n'.join([f'_base_ = {str(base)!r}', *parts]) + '\n'


def merge(*parts: Mapping) -> dict:
    """Nested dicts as one; what comes later wins."""
    merged: dict = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both and '_delete_' not in value else value
    return merged


def from_tokens(settings: Settings, layer: int) -> dict:
    """Overrides that read the tokens of a layer."""
    store = settings.store(layer)
    steps = shipped('tokens').test_dataloader.dataset.dataset.pipeline
    pipeline = [dict(step, store=store) if 'store' in step else dict(step) for step in steps]
    loader = dict(dataset=dict(dataset=dict(pipeline=pipeline)), **IN_PROCESS)
    return dict(
        model=dict(backbone=dict(store=store)),
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
    )


def from_videos(layer: int | None) -> dict:
    """Overrides that read videos; ``layer`` None leaves the backbone as it is."""
    overrides = dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'), IN_PROCESS)
    return overrides if layer is None else dict(overrides, model=dict(backbone=dict(layer=layer)))


def schedule(settings: Settings, episodes: int) -> dict:
    """Overrides that train for a number of episodes, with a validation after every quarter."""
    validation = min(settings.val_episodes, shipped('tokens').val_dataloader.dataset.num_episodes)
    return dict(
        val_dataloader=dict(dataset=dict(num_episodes=validation)),
        train_cfg=dict(max_epochs=EPOCHS),
        train_dataloader=dict(dataset=dict(num_episodes=max(1, episodes // EPOCHS))),
    )


def _plain(value: object) -> object:
    """Config objects as the builtins that can be printed."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
