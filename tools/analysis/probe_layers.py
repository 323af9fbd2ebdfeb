#!/usr/bin/env python
"""Which decoder layer tells actions apart best? Training-free accuracy of every layer on the validation classes.

Every video runs once through all layers; of each layer only the mean token of every frame is kept. Layer 0 is what
enters the decoder: the frames as the video tower and its projector see them. The mean token of the training videos is
subtracted, which helps training-free comparisons.

Usage:
    python tools/analysis/probe_layers.py CONFIG [--layers 4 8 12 16] [--episodes 1000] [--out work_dirs/layers]

Writes layers.json and layers.png, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fsar_llava import VideoFeatures
from fsar_llava.datasets import EpisodicDataset, EpisodicSampler
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.engine.loops.video_variants import VideoVariants
from fsar_llava.features.extraction_progress import ExtractionProgress

MATCHINGS = {'OTAM': dict(type='OTAM'), 'Bi-MHM': dict(type='BiMHM'), 'cosine': dict(type='CosineMatching')}


class SingleVideos(Dataset):
    """Videos of an episodic dataset one by one."""

    def __init__(self, dataset: EpisodicDataset, videos: Sequence[int]) -> None:
        self.dataset, self.videos = dataset, videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> dict:
        return self.dataset.load_video(self.videos[index])


def depth_of(backbone: dict) -> int:
    """Decoder layers of a backbone.

    Raises:
        TypeError: If it has none that could be looked into.
    """
    if not hasattr(MODELS.get(backbone['type']), 'frames_of_layers'):
        raise TypeError(f'{backbone["type"]} has no decoder layers to compare. Use a config with VideoMLLMBackbone.')
    return MODELS.build(dict(backbone, layer=0)).depth


@torch.no_grad()
def tokens_of_layers(
    cfg: Config, dataset: EpisodicDataset, layers: Sequence[int], videos: Sequence[int], name: str
) -> dict[int, Tensor]:
    """``[V, T, D]`` of each layer, of some videos, from one pass."""
    backbone = MODELS.build(dict(cfg.model.backbone, layer=max(layers)))
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    preprocessor.to(device)
    workers = cfg.val_dataloader.get('num_workers', 0)
    loader = DataLoader(SingleVideos(dataset, videos), batch_size=4, num_workers=workers, collate_fn=list)
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    with ExtractionProgress(len(videos), name) as progress:
        for batch in loader:
            data = {key: [video[key] for video in batch] for key in ('inputs', 'data_samples')}
            inputs = preprocessor(data, False)['inputs']
            for layer, frames in backbone.frames_of_layers(inputs, layers).items():
                found[layer].append(frames.cpu())
            progress(len(batch))
    return {layer: torch.cat(parts) for layer, parts in found.items()}


@torch.no_grad()
def accuracies(frames: Tensor, plan: EpisodePlan) -> dict[str, tuple[float, float]]:
    """Accuracy and its 95 % interval, in percent, of each training-free metric."""
    result = {}
    for name, matching in MATCHINGS.items():
        head = MODELS.build(dict(type='PrototypeHead', matching=matching)).eval()
        logits = EpisodeScorer(head, VideoFeatures(frames)).logits(plan)
        hits = 100 * (logits.argmax(-1) == plan.episodes.query_way).double().mean(-1)
        result[name] = (float(hits.mean()), 1.96 * float(hits.std(correction=0)) / math.sqrt(len(hits)))
    return result


def build_dataset(cfg: Config, split: str, episodes: int) -> EpisodicDataset:
    """The videos of a split, through the pipeline of the validation."""
    config = cfg[f'{split}_dataloader'].dataset
    videos = dict(config.dataset, pipeline=cfg.val_dataloader.dataset.dataset.pipeline, test_mode=True)
    return DATASETS.build(dict(config, dataset=videos, num_episodes=episodes))


def draw(results: dict[int, dict[str, tuple[float, float]]], path: Path, title: str) -> None:
    """Accuracy by layer, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout='constrained')
    axis = figure.subplots()
    layers = list(results)
    for number, (name, marker) in enumerate(zip(MATCHINGS, 'os^', strict=True)):
        means, errors = zip(*(scores[name] for scores in results.values()))
        places = [layer + 0.06 * (number - 1) for layer in layers]  # side by side, to tell the intervals apart
        axis.errorbar(places, means, errors, label=name, marker=marker, markersize=4, linewidth=1, capsize=2)
    axis.set(title=title, xlabel='decoder layer', ylabel='accuracy in % (bars: 95 % interval)')
    if len(layers) <= 16:
        axis.set_xticks(layers)
    axis.grid(alpha=0.3)
    axis.spines[['top', 'right']].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=150)


def show(results: dict[int, dict[str, tuple[float, float]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table('layer', *MATCHINGS)
    for layer, scores in results.items():
        cells = []
        for name, (mean, error) in scores.items():
            best = mean == max(others[name][0] for others in results.values())
            cells.append(f'[bold]{mean:.2f} ± {error:.2f}[/]' if best else f'{mean:.2f} ± {error:.2f}')
        table.add_row(str(layer), *cells)
    Console().print(table)


def main(argv: list[str] | None = None) -> dict[int, dict[str, tuple[float, float]]]:
    parser = argparse.ArgumentParser(description='Training-free accuracy of every decoder layer on meta-val')
    parser.add_argument('config', help='config with a VideoMLLMBackbone')
    parser.add_argument('--layers', nargs='+', type=int, help='default: all')
    parser.add_argument('--episodes', type=int, default=1000)
    parser.add_argument('--train-videos', type=int, default=200, help='videos that the mean is taken of; 0: none')
    parser.add_argument('--out', type=Path, help='folder; default work_dirs/<config name>/layers')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args(argv)
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope('mmaction')
    depth = depth_of(cfg.model.backbone)
    layers = sorted(set(args.layers or range(depth + 1)))
    if not 0 <= layers[0] <= layers[-1] <= depth:
        raise ValueError(f'--layers must lie between 0 and {depth}, but are {layers}.')
    dataset = build_dataset(cfg, 'val', args.episodes)
    sampler = {key: value for key, value in cfg.val_dataloader.sampler.items() if key != 'type'}
    variants = VideoVariants(nn.Module())
    plan = EpisodePlan.make(dataset, EpisodicSampler(dataset, **sampler), variants)
    tokens = tokens_of_layers(cfg, dataset, layers, [stamp['video_index'] for stamp in variants.stamps], 'meta-val')
    if args.train_videos:
        train = build_dataset(cfg, 'train', 1)
        step = math.ceil(len(train.video_names) / args.train_videos)
        seen = tokens_of_layers(cfg, train, layers, range(0, len(train.video_names), step), 'meta-train')
        tokens = {layer: frames - seen[layer].mean((0, 1)) for layer, frames in tokens.items()}
    results = {layer: accuracies(frames, plan) for layer, frames in tokens.items()}
    out = args.out or Path('work_dirs') / Path(args.config).stem / 'layers'
    out.mkdir(parents=True, exist_ok=True)
    (out / 'layers.json').write_text(json.dumps(results, indent=2) + '\n')
    shape = f'{plan.episodes.num_ways}-way {plan.episodes.support_index.shape[2]}-shot'
    draw(results, out / 'layers.png', f'Without training, meta-val, {shape}, {len(plan)} episodes')
    show(results)
    return results


if __name__ == '__main__':
    main()
