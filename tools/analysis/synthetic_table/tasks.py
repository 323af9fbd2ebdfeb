"""Rows as jobs: which tool, which arguments, which files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .jobs import Job
from .recipes import training_free, training_free_tests
from .rows import Row
from .settings import EPOCHS, Settings, config_path, shipped, weights

# Rough seconds on one core, for the time left alone.
SECONDS_AN_EPISODE = {'trained': 0.03, 'linear': 0.015, 'known': 0.4, 'clip': 0.3}
SECONDS_A_TEST = {'training-free': 60, 'trained': 20, 'linear': 10, 'known': 600, 'clip': 60}


def preparation(settings: Settings) -> list[Job]:
    """The videos, if there are none."""
    if (settings.data / 'manifest.json').exists():
        return []
    arguments = ['--out', str(settings.data), '--videos-per-class', str(settings.videos_per_class), '--workers', '2']
    folder = settings.out / 'data'
    return [Job('data/make', folder, 'tools/data/make_synthetic_motion.py', lambda: arguments, weight=40)]


def extraction(settings: Settings) -> list[Job]:
    """The tokens of every layer."""
    return [_extraction(settings, layer) for layer in settings.layers]


def _extraction(settings: Settings, layer: int) -> Job:
    arguments = [str(config_path('video')), '--out', settings.store(layer), '--num-workers', '0']
    arguments += ['--cfg-options', f'model.backbone.layer={layer}']
    name = f'tokens_layer{layer}'
    return Job(
        f'{name}/extract',
        settings.out / 'tokens' / name,
        'tools/extract_tokens.py',
        lambda: arguments,
        weight=80,
        inputs=origin(settings, 'video') + str(shipped('video').model.backbone),
        product=Path(settings.store(layer)) / 'manifest.json',
    )


def centering(settings: Settings) -> list[Job]:
    """The mean tokens of every layer."""
    jobs = []
    for layer in settings.layers:
        row = training_free(settings, layer, True)
        config = row.folder(settings) / 'config.py'
        arguments = [str(config), '--out', str(config.with_name('means.pth'))]
        jobs.append(
            Job(
                f'{row.name}/means',
                row.folder(settings),
                'tools/analysis/synthetic_table/centering.py',
                lambda arguments=arguments: arguments,
                files={config: row.config_text(settings)},
                weight=3,
                inputs=origin(settings, row.base),
                product=config.with_name('means.pth'),
                after=f'tokens_layer{layer}/extract',
            )
        )
    return jobs


def training_free_rows(settings: Settings) -> dict[tuple[int, bool], Row]:
    """By layer, and whether the tokens are centred."""
    rows = {}
    for layer in settings.layers:
        rows[layer, False] = replace(training_free(settings, layer, False), after=f'tokens_layer{layer}/extract')
        row = training_free(settings, layer, True)
        means = row.folder(settings) / 'means.pth'
        rows[layer, True] = replace(row, checkpoint=str(means), after=f'{row.name}/means')
    return rows


def training_free_jobs(settings: Settings, split: str) -> list[Job]:
    """Every metric on every layer, one pass over the videos for each layer."""
    return [
        test(settings, row, split, training_free_tests(layer, split))
        for (layer, _), row in training_free_rows(settings).items()
    ]


def train(settings: Settings, row: Row) -> Job:
    """``tools/train.py`` on a row."""
    folder = row.folder(settings)
    arguments = [str(folder / 'config.py'), '--work-dir', str(folder), '--seed', str(row.seed)]
    episodes = EPOCHS * row.overrides['train_dataloader']['dataset']['num_episodes']
    return Job(
        f'{row.name}/train',
        folder,
        'tools/train.py',
        lambda: arguments,
        files={folder / 'config.py': row.config_text(settings)},
        weight=10 + SECONDS_AN_EPISODE[row.kind] * episodes,
        inputs=origin(settings, row.base),
        clean=('*.pth', '20*', 'last_checkpoint'),
    )


def test(settings: Settings, row: Row, split: str, tests: Sequence[dict]) -> Job:
    """``tools/test.py`` on a row and a split."""
    folder = row.folder(settings)
    config = folder / f'{split}_config.py'
    files = {
        folder / 'config.py': row.config_text(settings),
        config: row.test_text(settings, split, tests),
    }
    share = settings.val_episodes / settings.test_episodes if split == 'val' else 1
    return Job(
        f'{row.name}/{split}',
        folder,
        'tools/test.py',
        lambda: [str(config), row.best_checkpoint(settings), '--work-dir', str(folder / split)],
        files=files,
        weight=5 + SECONDS_A_TEST[row.kind] * share * settings.test_episodes / 10000,
        inputs=origin(settings, row.base) + ('' if row.seed is None else f'seed {row.seed}'),
        after=f'{row.name}/train' if row.seed is not None else row.after,
        clean=(split,),
    )


def origin(settings: Settings, base: str) -> str:
    """Fingerprint of the frozen weights and of the data set that a row rests on."""
    folder = weights('video' if base in ('tokens', 'training_free') else base)
    files = [*sorted(folder.glob('*.safetensors')), settings.data / 'manifest.json']
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes() if file.exists() else b'')
    return digest.hexdigest()
