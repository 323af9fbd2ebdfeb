"""Runs of shipped configs on a few generated videos, episode by episode and with a feature bank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import fsar_llava.engine.loops  # noqa: F401
from tests.feature_bank import stir
from tests.test_configs import LEAVES, shrink
from tests.test_features.plain_configs import plain_configs  # noqa: F401

EPISODES = 3


@pytest.fixture
def run_test(data_root: Path, tmp_path: Path) -> Callable[..., dict]:
    """Test a shipped config; ``change`` may edit it, further arguments make its ``test_cfg``."""
    count = 0

    def run(leaf: str, change: Callable[[Config], None] = lambda cfg: None, **test_cfg: object) -> dict:
        nonlocal count
        count += 1
        cfg = shrink(Config.fromfile(LEAVES[leaf]), leaf)
        cfg.work_dir = str(tmp_path / str(count))
        cfg.experiment_name = f'{tmp_path.name}_{count}'
        cfg.log_level = 'ERROR'
        cfg.randomness = dict(seed=3)
        cfg.test_dataloader.dataset.num_episodes = EPISODES
        cfg.test_evaluator = dict(type='KeepResults')
        if test_cfg:
            cfg.test_cfg = test_cfg
        change(cfg)
        runner = Runner.from_cfg(cfg)
        stir(runner.model)
        return runner.test()

    return run
