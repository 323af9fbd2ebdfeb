"""Every config for the generated videos trains and tests one episode, through the runner, on real video files."""

from __future__ import annotations

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
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


def test_schedule_of_the_language_model_on_benchmarks(data_root, tmp_path):
    """Their own leaves are tested step by step; here the schedule goes through the runner."""
    name = 'fsar-llava_tiny_unknown_5way-1shot_toy-motion'
    config = LEAVES[name].read_text(encoding='utf-8').replace('adamw_toy', 'adamw_episodes')
    (tmp_path / 'config.py').write_text(config.replace('../_base_', str(CONFIGS / '_base_')))
    cfg = shrink(Config.fromfile(tmp_path / 'config.py'), name)
    assert cfg.optim_wrapper.accumulative_counts == 4
    cfg.work_dir = str(tmp_path)
    cfg.train_dataloader.dataset.num_episodes = 8
    runner = Runner.from_cfg(cfg)
    before = {name: weight.clone() for name, weight in runner.model.state_dict().items()}
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'][0] < 1e-4
    assert any(not weight.equal(before[name]) for name, weight in runner.model.state_dict().items())
    assert list(tmp_path.glob('best_few_shot_acc_*.pth'))


@pytest.mark.parametrize('name', LEAVES)
def test_the_rate_is_that_of_the_batch_size(name):
    cfg = Config.fromfile(LEAVES[name])
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size


@pytest.mark.parametrize('name', LEAVES)
def test_first_lines_say_how_to_run_it(name):
    head = LEAVES[name].read_text(encoding='utf-8').split('_base_')[0]
    path = LEAVES[name].relative_to(REPOSITORY).as_posix()
    assert f'python tools/train.py {path}' in head
    assert f'python tools/test.py {path} work_dirs/{name}/best_*.pth' in head
    assert 'pip install fsar-llava' not in head  # the package is on no index


@pytest.mark.parametrize(
    ('name', 'episodes', 'factors'),
    [
        (
            'clip-fsar_clip-vit-b16_5way-1shot_toy-motion_public',
            5000,
            {0: 0.5, 125: 0.75, 250: 1, 749: 1, 750: 0.1, 1249: 0.1, 1250: 0.01, 4999: 0.01},
        ),
        (
            'hyrsm_resnet50_5way-1shot_toy-motion_public',
            1200,
            {0: 5 / 22, 50: 13.5 / 22, 100: 1, 199: 1, 200: 0.5, 299: 0.5, 300: 0.1, 499: 0.1, 500: 0.05, 1199: 0.05},
        ),
    ],
)
def test_public_schedules(name, episodes, factors):
    """Steps, and the rate at an episode, as the public code for Kinetics sets it from its configured epochs."""
    cfg = Config.fromfile(LEAVES[name])
    assert cfg.train_cfg.max_epochs * cfg.train_dataloader.dataset.num_episodes == episodes
    assert cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts == 4
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedulers = [PARAM_SCHEDULERS.build(dict(one, optimizer=optimizer)) for one in cfg.param_scheduler]
    for episode in range(episodes):
        if episode in factors:
            assert optimizer.param_groups[0]['lr'] == pytest.approx(factors[episode], rel=0.01), episode
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
