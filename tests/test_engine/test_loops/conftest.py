"""Runs of shipped configs on a few generated videos, episode by episode and with a feature bank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmaction.registry import METRICS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

import fsar_llava.engine.loops  # noqa: F401
from tests.test_configs import LEAVES, shrink
from tests.test_features.plain_configs import plain_configs  # noqa: F401

EPISODES = 3


@METRICS.register_module(force=True)
class KeepResults(BaseMetric):
    """Keeps what it is given."""

    default_prefix = 'kept'

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict:
        hits = torch.cat([(result['pred_label'] == result['gt_label']).float() for result in results])
        return dict(acc=100 * float(hits.mean()), episodes=len(results), results=results)


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
        _stir(runner.model)
        return runner.test()

    return run


def _stir(model: torch.nn.Module) -> None:
    """Fill what is initialised with zeros: it would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
