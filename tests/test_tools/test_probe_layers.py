"""The probe of layers sees what the backbone would give at each layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from tests.conftest import load_tool
from tests.test_configs import LEAVES

CONFIG = LEAVES['fsar-llava_tiny_unknown_5way-1shot_toy-motion']
OPTIONS = ('--cfg-options', 'val_dataloader.num_workers=0', 'val_dataloader.sampler.num_shots=2')
tool = load_tool('tools/analysis/probe_layers.py')


def test_frames_are_those_of_the_layer(data_root: Path) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.val_dataloader.num_workers = 0
    dataset = tool.build_dataset(cfg, 'val', 1)
    found = tool.tokens_of_layers(cfg, dataset, [0, 1, 3], [0, 4], 'test')
    assert found.keys() == {0, 1, 3}
    data = [dataset.load_video(index) for index in (0, 4)]
    inputs = MODELS.build(cfg.model.data_preprocessor)(
        {key: [video[key] for video in data] for key in ('inputs', 'data_samples')}, False
    )['inputs']
    for layer, frames in found.items():
        backbone = MODELS.build(dict(cfg.model.backbone, layer=layer, grid=None))
        torch.testing.assert_close(frames, backbone(inputs, ['x'] * 2).visual.mean(2), atol=1e-4, rtol=1e-3)


def test_table_and_plot(data_root: Path, tmp_path: Path) -> None:
    arguments = [str(CONFIG), '--episodes', '6', '--train-videos', '4', '--layers', '0', '2', '--out', str(tmp_path)]
    results = tool.main([*arguments, *OPTIONS])
    assert list(results) == [0, 2]
    assert all(0 <= mean <= 100 for scores in results.values() for mean, _ in scores.values())
    assert set(json.loads((tmp_path / 'layers.json').read_text())) == {'0', '2'}
    assert (tmp_path / 'layers.png').stat().st_size > 1000


def test_other_backbones_are_refused() -> None:
    with pytest.raises(TypeError, match=r'ResNet has no decoder layers.*VideoMLLMBackbone'):
        tool.main([str(LEAVES['otam_resnet18_5way-1shot_toy-motion'])])
    with pytest.raises(TypeError, match=r'StoredTokens has no decoder layers.*VideoMLLMBackbone'):
        tool.main([str(CONFIG.with_name('fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion.py'))])
