"""Every example of ``projects/mix_and_match`` trains and tests a step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import load_tool

PROJECT = Path(__file__).parents[2] / 'projects' / 'mix_and_match'
FEW_SHOT = sorted(path.stem for path in (PROJECT / 'configs').glob('*.py') if '-head' not in path.stem)
ORDINARY = sorted(path.stem for path in (PROJECT / 'configs').glob('*-head.py'))


def load(name: str, work_dir: Path) -> Config:
    """The config with fewer and smaller videos, and smaller stock backbones."""
    cfg = Config.fromfile(PROJECT / 'configs' / f'{name}.py')
    cfg.work_dir, cfg.train_cfg.max_epochs = str(work_dir), 1
    small = dict(VisionTransformer=dict(depth=1, img_size=32), ResNet3dSlowOnly=dict(depth=18))
    cfg.model.backbone.update(small.get(cfg.model.backbone.type, {}))
    if cfg.model.backbone.type == 'ResNet3dSlowOnly':
        cfg.model.cls_head.matching.in_channels = 512
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        if dataset.type == 'EpisodicDataset':
            loader.batch_size = 1
            loader.sampler.update(num_ways=3, num_queries=1)
            dataset.num_episodes = 1
            dataset = dataset.dataset
        else:
            loader.batch_size = 4
            dataset.indices = 4
        if not cfg.model.backbone.type.startswith(('MLLM', 'VideoMLLM', 'CLIP', 'MAFSAR')):
            next(step for step in dataset.pipeline if step.type == 'MLLMResizeCrop').size = 32
    return cfg


@pytest.mark.parametrize('name', FEW_SHOT)
def test_few_shot_example(name, data_root, tmp_path):
    cfg = load(name, tmp_path)
    # At test the episodes have other ways, shots and queries than in training.
    cfg.test_dataloader.sampler.update(num_ways=4, num_shots=2, num_queries=2)
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert metrics['few_shot/episodes'] == 1
    assert 0 <= metrics['few_shot/acc'] <= 100


@pytest.mark.parametrize('name', ORDINARY)
def test_ordinary_classification(name, data_root, tmp_path):
    runner = Runner.from_cfg(load(name, tmp_path))
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    assert all('mllm' not in key for key in after)
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    assert math.isfinite(runner.test()['acc/top1'])


@pytest.mark.parametrize('name', ORDINARY)
def test_there_is_a_class_for_every_label(name, tmp_path):
    motions = load_tool('tools/data/make_toy_videos.py').MOTIONS
    assert load(name, tmp_path).model.cls_head.num_classes == len(motions)


def test_feature_maps_of_2d_and_3d_agree(data_root, tmp_path):
    from mmaction.registry import MODELS

    backbone = MODELS.build(load('video-llava_tsn-head', tmp_path).model.backbone)
    videos = torch.randn(2, 8, 3, 64, 64)
    flat, clips = backbone(videos.flatten(0, 1)), backbone(videos.transpose(1, 2))
    assert flat.shape == (16, 128, 4, 4)
    assert clips.shape == (2, 128, 8, 4, 4)
    torch.testing.assert_close(flat.unflatten(0, (2, 8)).transpose(1, 2), clips)


def test_there_is_an_example_of_everything_promised():
    names = {*FEW_SHOT, *ORDINARY}
    assert {'tsm_otam', 'slowonly_trx', 'videomae_bi-mhm', 'ma-fsar_bi-mhm', 'ma-fsar_trx'} <= names
    assert {'video-llava_tsn-head', 'video-llava_i3d-head', 'fsar-llava_clip-fsar-modulation'} <= names


@pytest.mark.parametrize('name', [*FEW_SHOT, *ORDINARY])
def test_first_lines_say_how_to_run_it(name):
    path = PROJECT / 'configs' / f'{name}.py'
    assert f'python tools/train.py projects/mix_and_match/configs/{name}.py' in path.read_text().split('_base_')[0]
