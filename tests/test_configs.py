"""Every config for the generated videos trains and tests one episode, through the runner, on real video files."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import REPOSITORY
from tests.miniature import miniature, small_frames

CONFIGS = REPOSITORY / 'configs'
LEAVES = {path.stem: path for path in sorted(CONFIGS.glob('*/*toy-motion*.py')) if path.parent.name != '_base_'}


def shrink(cfg: Config, name: str) -> Config:
    """The same config on one small episode, without downloads and without a GPU."""
    if '_tiny_' not in name:
        miniature(cfg)
        small_frames(cfg, 64 if 'clip' in name else 32)
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':
        cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    for part in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[part].update(batch_size=1, num_workers=0, persistent_workers=False)
        cfg[part].sampler.update(num_ways=3, num_queries=1)
        cfg[part].dataset.num_episodes = 1
        cfg[part].dataset.dataset.serialize_data = False  # collects garbage for half a second
    cfg.train_cfg.max_epochs = 1
    return cfg


def test_there_are_configs():
    methods = {path.parent.name for path in LEAVES.values()}
    assert methods >= {'fsar_llava', 'protonet', 'otam', 'bi_mhm', 'ma_fsar', 'clip_m2df', 'clip_fsar', 'hyrsm', 'trx'}


@pytest.mark.parametrize('name', LEAVES)
def test_one_training_and_one_test_step(name, data_root, tmp_path):
    cfg = shrink(Config.fromfile(LEAVES[name]), name)
    cfg.work_dir = str(tmp_path)
    cfg.test_evaluator.out_file = str(tmp_path / 'result.json')
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert metrics['few_shot/episodes'] == 1
    assert 0 <= metrics['few_shot/acc'] <= 100
    assert json.loads((tmp_path / 'result.json').read_text())['episodes'] == 1
    assert list(tmp_path.glob('best_few_shot_acc_*.pth'))


@pytest.mark.parametrize('name', LEAVES)
def test_first_lines_say_how_to_run_it(name):
    head = LEAVES[name].read_text(encoding='utf-8').split('_base_')[0]
    assert f'python tools/train.py {LEAVES[name].relative_to(REPOSITORY).as_posix()}' in head
