"""Every shipped config trains and tests one episode, through the runner, on real video files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[1] / 'configs'
# Those of the benchmarks are in test_benchmark_configs.py.
LEAVES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('*/*toy-motion*.py'))
TINY_LLAVA = dict(
    vision=dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=56
    ),
    text=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2),
    seed=0,
)
# As wide at its end as CLIP ViT-B, so that neck and head stay as they are.
TINY_CLIP = dict(
    base='tiny', vision=dict(image_size=224, patch_size=56, projection_dim=512), text=dict(projection_dim=512)
)


def shrink(cfg: Config) -> Config:
    """The same config with a random miniature in place of weights that would be downloaded, without a GPU."""
    backbone = cfg.model.backbone
    if backbone.get('pretrained'):
        backbone.pretrained = None
    if backbone.type in ('CLIPBackbone', 'MAFSARBackbone'):
        for part in (backbone, cfg.model.get('neck', {}).get('text_encoder', {})):
            if part.get('model'):
                part.update(model=None, architecture=TINY_CLIP)
    elif backbone.get('model'):
        backbone.update(model=None, architecture=TINY_LLAVA, layer=2, dtype='float32', quantization=None)
        cfg.model.neck.in_channels = TINY_LLAVA['text']['hidden_size']
    if backbone.type == 'ResNet3dSlowOnly':
        backbone.base_channels = 8
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':
        cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(batch_size=1, num_workers=0, persistent_workers=False)
        cfg[name].sampler.update(num_ways=3, num_queries=1)
        cfg[name].dataset.num_episodes = 1
        if backbone.type == 'ResNet':  # takes frames of any size
            for step in cfg[name].dataset.dataset.pipeline:
                if step.type == 'MLLMResizeCrop':
                    step.size = 32
    cfg.train_cfg.max_epochs = 1
    return cfg


def test_there_are_configs():
    assert len(LEAVES) >= 16


@pytest.mark.parametrize('leaf', LEAVES)
def test_one_training_and_one_test_step(leaf, data_root, tmp_path):
    cfg = shrink(Config.fromfile(CONFIGS / leaf))
    cfg.work_dir = str(tmp_path)
    cfg.test_evaluator.out_file = str(tmp_path / 'result.json')
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert metrics['few_shot/episodes'] == 1
    assert 0 <= metrics['few_shot/acc'] <= 100
    assert json.loads((tmp_path / 'result.json').read_text())['episodes'] == 1
    assert list(tmp_path.glob('best_few_shot_acc_*.pth'))


@pytest.mark.parametrize('leaf', LEAVES)
def test_first_lines_say_how_to_run_it(leaf):
    head = (CONFIGS / leaf).read_text(encoding='utf-8').split('_base_')[0]
    assert f'python tools/train.py configs/{leaf}' in head
