"""The probe of layers sees what the backbone would give at each layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from fsar_llava.datasets import EpisodicDataset, EpisodicSampler
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.engine.loops.video_variants import VideoVariants
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


def test_each_layer_loses_the_mean_of_its_training_videos(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all videos of a layer share is gone, and the episodes are those of the config."""
    frames = torch.randn(30, 2, 4, generator=torch.Generator().manual_seed(0))
    shift = {layer: torch.randn(4, generator=torch.Generator().manual_seed(layer)) * 100 for layer in (0, 2)}
    plans, seen = [], {}

    def tokens(cfg: Config, dataset: EpisodicDataset, layers: list[int], videos: list[int], name: str) -> dict:
        seen[name] = dataset
        own = frames[list(videos)] if name == 'meta-val' else torch.zeros(len(videos), 2, 4)
        return {layer: own + shift[layer] for layer in layers}

    def accuracies(frames: torch.Tensor, plan: EpisodePlan) -> dict[str, tuple[float, float]]:
        plans.append((frames, plan))
        return dict.fromkeys(tool.MATCHINGS, (0.0, 0.0))

    monkeypatch.setattr(tool, 'tokens_of_layers', tokens)
    monkeypatch.setattr(tool, 'accuracies', accuracies)
    tool.main([str(CONFIG), '--episodes', '6', '--layers', '0', '2', '--out', str(tmp_path), *OPTIONS])
    variants = VideoVariants(torch.nn.Module())
    val, train = seen['meta-val'], seen['meta-train']
    expected = EpisodePlan.make(val, EpisodicSampler(val, num_ways=5, num_shots=2, num_queries=1, seed=0), variants)
    for found, plan in plans:
        rows = frames[[stamp['video_index'] for stamp in variants.stamps]]
        torch.testing.assert_close(found, rows, atol=1e-4, rtol=1e-3)
        assert plan.episodes.digests == expected.episodes.digests
    assert {name.split('/')[0] for name in train.video_names}.isdisjoint(name.split('/')[0] for name in val.video_names)
    assert repr(train.dataset.pipeline) == repr(val.dataset.pipeline)


def test_intervals(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the episodes right, half of them wrong."""
    dataset = tool.build_dataset(Config.fromfile(CONFIG), 'val', 6)
    sampler = EpisodicSampler(dataset, num_ways=2, num_shots=1, num_queries=1, seed=0)
    plan = EpisodePlan.make(dataset, sampler, VideoVariants(torch.nn.Module()))

    def logits(self: EpisodeScorer, plan: EpisodePlan) -> torch.Tensor:
        right = torch.nn.functional.one_hot(plan.episodes.query_way, 2).float()
        return torch.cat([right[:3], 1 - right[3:]])

    monkeypatch.setattr(EpisodeScorer, 'logits', logits)
    found = tool.accuracies(torch.randn(len(dataset.video_names), 2, 4), plan)
    assert found == dict.fromkeys(tool.MATCHINGS, (50, pytest.approx(1.96 * 50 / 6**0.5)))


def test_other_backbones_are_refused() -> None:
    with pytest.raises(TypeError, match=r'ResNet has no decoder layers.*VideoMLLMBackbone'):
        tool.main([str(LEAVES['otam_resnet18_5way-1shot_toy-motion'])])
    with pytest.raises(TypeError, match=r'StoredTokens has no decoder layers.*VideoMLLMBackbone'):
        tool.main([str(CONFIG.with_name('fsar-llava_mini-tokens_unknown_5way-1shot_synthetic-motion.py'))])
