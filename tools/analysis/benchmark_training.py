"""How much faster training is from stored tokens than from videos."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmark_common import CONFIG, Row, load_tool, tiny_runner
from mmengine.config import Config
from mmengine.hooks import Hook

GRID = 1
"""Patches a side that are left of a frame."""
WARM_UP = 5
"""Iterations that do not count: workers start, and the first batches wait ready-made."""


class Clock(Hook):
    """Notes when iterations end, after all other hooks."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def rate(self) -> float:
        """Iterations a second in steady state."""
        times = self.times[WARM_UP:]
        if len(times) < 2:
            raise ValueError(
                f'{len(self.times)} iterations are too few: the first {WARM_UP} do not count. Raise --sample.'
            )
        return (len(times) - 1) / (times[-1] - times[0])


def measure_training(data: Path, episodes: int, factor: int = 5, rounds: int = 5) -> list[Row]:
    """Episodes a second of training from videos and from a token store: the same config and episodes.

    Both pool patches to one token a frame, as in a store of the smallest size, so that what is compared is how tokens
    come about and not the step that learns from them. Videos are decoded by the config's workers; reading tokens takes
    less than handing them over from another process.

    Args:
        data: The generated videos.
        episodes: Episodes from videos.
        factor: How many times as many are trained from tokens, where an iteration is short.
        rounds: How often both are run, in turns; medians are given.
    """
    os.environ['FSAR_DATA_ROOT'] = str(data.parent)
    extract = load_tool('tools/extract_tokens.py').main
    with tempfile.TemporaryDirectory() as folder:
        store = f'{folder}/store'
        extract([str(CONFIG), '--out', store, '--split', 'train', '--cfg-options', f'model.backbone.grid={GRID}'])
        runs = []
        for number in range(rounds):
            videos, _ = episodes_per_second(data, f'{folder}/videos{number}', episodes)
            tokens, loading = episodes_per_second(data, f'{folder}/tokens{number}', factor * episodes, store)
            runs.append((tokens / videos, videos, tokens, loading))
    ratio, videos, tokens, loading = (statistics.median(values) for values in zip(*runs))
    return [
        ('training from videos, episodes/s', videos, ''),
        ('training from the store, episodes/s', tokens, ''),
        ('store / videos', ratio, '>= 10'),
        ('... lowest of all rounds', min(runs)[0], ''),
        ('... highest of all rounds', max(runs)[0], ''),
        ('of an iteration from the store, waiting for tokens, %', 100 * loading, ''),
    ]


def episodes_per_second(data: Path, work_dir: str, episodes: int, store: str | None = None) -> tuple[float, float]:
    """Speed of training in steady state, and the share of it that passes in waiting for data."""
    clock = Clock()

    def change(cfg: Config) -> None:
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        cfg.default_hooks.pop('checkpoint')
        cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
        cfg.param_scheduler = []
        cfg.train_dataloader.dataset.num_episodes = episodes
        cfg.model.backbone.grid = GRID
        if store is not None:
            use_store(cfg, store)

    runner = tiny_runner(data, work_dir, change)
    runner.register_hook(clock)
    runner.train()
    waiting = runner.message_hub.get_scalar('train/data_time').data[0][WARM_UP:].mean()
    batch_size = runner.cfg.train_dataloader.batch_size
    return clock.rate() * batch_size, waiting * clock.rate()


def use_store(cfg: Config, store: str) -> None:
    """What a config changes to train from tokens."""
    cfg.model.backbone = dict(type='StoredTokens', store=store)
    cfg.model.data_preprocessor = dict(type='TokenDataPreprocessor')
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.dataset.dataset.pipeline = [
        dict(type='LoadVideoTokens', store=store),
        dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts')),
    ]
