#!/usr/bin/env python
"""Extract the tokens of a frozen video MLLM once, for training and testing without it.

Takes dataset, test pipeline, prompts and backbone from an ordinary config. Whatever is in the store already is left
alone: run the same command again after an interruption, or after videos were added or replaced.

Usage:
    python tools/extract_tokens.py CONFIG --out STORE [--split train val test] [--dry-run]
    torchrun --nproc_per_node=GPUS tools/extract_tokens.py CONFIG --out STORE --launcher pytorch
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine import dist
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from fsar_llava.datasets import EpisodicDataset
from fsar_llava.engine.launch import allow_open_files, leave, process_group, set_local_rank
from fsar_llava.engine.loops.loaded_videos import first_readable
from fsar_llava.features import TokenManifest, TokenStore, TokenWriter
from fsar_llava.features.deterministic_pipeline import check_deterministic
from fsar_llava.features.extraction_job import ExtractionJob, JobVideos, make_jobs
from fsar_llava.features.extraction_progress import ExtractionProgress
from fsar_llava.features.identity import plain
from fsar_llava.features.token_extractor import TokenExtractor
from fsar_llava.features.token_shard import ForeignShardError
from fsar_llava.models.prompts import PROMPT_SETS, PromptSet, build_prompts

SPLITS = ('train', 'val', 'test')
PATIENCE = 24 * 3600
"""Seconds that processes wait for the slowest: they meet only at the end of their shares."""
FRAME_SETTINGS = ('modality', 'start_index', 'filename_tmpl')
"""What a dataset, not its list, says about frames."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Extract the tokens of a frozen video MLLM')
    parser.add_argument('config', help='config whose backbone has encode(), such as VideoMLLMBackbone')
    parser.add_argument('--out', help='folder of the store; default work_dirs/<config name>/tokens')
    parser.add_argument('--split', nargs='+', choices=SPLITS, default=list(SPLITS), help='default: all')
    parser.add_argument(
        '--prompts', nargs='+', choices=sorted(PROMPT_SETS), help="prompt sets to store; default: the config's"
    )
    parser.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], help="default: the backbone's")
    parser.add_argument('--batch-size', type=int, help='videos at a time; default: what a GPU holds, 8 on a CPU')
    parser.add_argument('--num-workers', type=int, help="processes that decode; default: the test dataloader's")
    parser.add_argument('--shard-size', type=int, default=256, help='MB of a file, of 256 videos at most; default 256')
    parser.add_argument('--dry-run', action='store_true', help='only say how many videos and bytes there are to do')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    set_local_rank(args.local_rank)
    return args


def fixed_templates(prompt_sets: Sequence[PromptSet]) -> list[str]:
    """The templates of some prompt sets.

    Raises:
        ValueError: If there is none, or one depends on the episode.
    """
    for prompts in prompt_sets:
        for role, template in prompts.identity().items():
            if PromptSet(support=template, query=None).episode_conditioned:
                raise ValueError(
                    f'The {role} prompt {template!r} lists the classes of an episode, so that its tokens differ from '
                    'episode to episode and cannot be stored. Either test from videos with '
                    "test_cfg=dict(type='FeatureBankTestLoop'), which encodes each video once and behind it only the "
                    f'prompts; or set prompts=dict(support=..., query=...) with a {role} prompt that is always the '
                    'same; or store other prompts of the same videos with --prompts unknown.'
                )
    templates = sorted({text for prompts in prompt_sets for text in prompts.identity().values() if text})
    if not templates:
        raise ValueError("The config has no prompts; there is nothing to ask the MLLM. Set prompts='unknown'.")
    return templates


def check_backbone(config: dict) -> None:
    """Refuse a backbone whose tokens cannot be extracted, such as StoredTokens, before anything is built or read."""
    kind = config.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if kind is not None and not hasattr(kind, 'encode'):  # building it says that there is no such type
        raise TypeError(
            f'{kind.__name__} cannot be extracted: it has no encode(inputs, prompts). Use a config with '
            'VideoMLLMBackbone.'
        )


def build_datasets(cfg: Config, splits: Sequence[str]) -> tuple[list[EpisodicDataset], list[dict]]:
    """The videos of the splits, all through the pipeline of the test, and that pipeline's config.

    Raises:
        ValueError: If the config lacks a dataloader that is needed, or the pipeline is random.
    """
    if cfg.get('test_dataloader') is None:
        raise ValueError(
            'The config has no test_dataloader, but the tokens of every split are made by the pipeline of the test. '
            'Set test_dataloader in the config; --split chooses the videos.'
        )
    pipeline = cfg.test_dataloader.dataset.dataset.pipeline
    datasets = []
    for split in splits:
        config = cfg.get(f'{split}_dataloader')
        if config is None:
            raise ValueError(f'The config has no {split}_dataloader. Leave {split!r} out of --split.')
        settings = {key: value for key, value in config.dataset.items() if key not in ('type', 'num_episodes')}
        settings['dataset'] = dict(settings['dataset'], pipeline=pipeline, test_mode=True)
        datasets.append(EpisodicDataset(**settings))
    first = first_readable(datasets[0])
    check_deterministic(datasets[0].dataset.pipeline.transforms, lambda: datasets[0].get_data_info(first))
    return datasets, pipeline


def frame_settings(datasets: Sequence[EpisodicDataset], splits: Sequence[str]) -> dict:
    """How the datasets count and name frames.

    Raises:
        ValueError: If they do not agree.
    """
    found = [
        {name: getattr(videos.dataset, name) for name in FRAME_SETTINGS if hasattr(videos.dataset, name)}
        for videos in datasets
    ]
    for split, settings in zip(splits, found):
        if settings != found[0]:
            raise ValueError(
                f'The datasets of {splits[0]} and {split} read frames in different ways: {found[0]} and {settings}. '
                'Give them the same settings, or extract them into stores of their own with --split.'
            )
    return found[0]


def text_lengths(backbone: torch.nn.Module, jobs: Sequence[ExtractionJob]) -> int:
    """Textual tokens of all jobs together."""
    lengths = {prompt: backbone.text_length(prompt) for prompt in {prompt for job in jobs for prompt in job.prompts}}
    return sum(lengths[prompt] for job in jobs for prompt in job.prompts)


def bytes_needed(backbone: torch.nn.Module, jobs: Sequence[ExtractionJob], dtype: torch.dtype) -> int:
    """Size of the tokens of some jobs; the first video that can be decoded tells the number of frames."""
    video = next((video for _, _, video, _ in JobVideos(jobs) if video), None)
    if video is None:
        return 0
    tokens = len(jobs) * video['inputs'].shape[0] * backbone.tokens_per_frame + text_lengths(backbone, jobs)
    return tokens * backbone.out_channels * dtype.itemsize


def find_missing(
    out: Path, identity: dict, jobs: Sequence[ExtractionJob], *, dry_run: bool = False
) -> dict[str, tuple[str, ...]]:
    """The videos that the store lacks, each with the prompts to run; damaged shards are put aside, and so to do again.

    Args:
        out: The store.
        identity: What it must have been made from.
        jobs: The videos that it is to have.
        dry_run: Leave damaged shards where they are.

    Raises:
        TokenStoreMismatchError: If the store was made from something else.
        ForeignShardError: If a shard of another store lies in the folder.
    """
    if not (out / 'manifest.json').exists():
        return {job.video: job.prompts for job in jobs}
    TokenManifest.read(out).check(identity)
    store = TokenStore(out, skip_damaged=True)
    for shard, error in store.damaged.items():
        if isinstance(error, ForeignShardError):
            raise error
        verb = 'would be' if dry_run else 'is'
        print(f'{error}\nIt {verb} renamed to {shard.name}.damaged; its videos are to do again.', file=sys.stderr)
        if not dry_run:
            shard.rename(shard.with_name(f'{shard.name}.damaged'))
    missing = {job.video: prompts for job in jobs if (prompts := job.lacking(store))}
    replaced = sorted(missing.keys() & store.videos.keys())
    if replaced:
        print(
            f'{len(replaced)} stored videos, such as {replaced[0]}, have changed since their extraction or lack a '
            'prompt: extracting them anew.'
        )
    return missing


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict({'env_cfg.dist_cfg.timeout': PATIENCE})
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    allow_open_files(cfg)
    with process_group(cfg, args.launcher):
        if args.launcher != 'none' and not dist.is_distributed():
            dist.init_dist(args.launcher, **cfg.env_cfg.dist_cfg)
        return run(args, cfg)


def run(args: argparse.Namespace, cfg: Config) -> int:
    """Find out what there is to do, and do this process's share."""
    out = Path(args.out or os.path.join('work_dirs', Path(args.config).stem, 'tokens'))
    check_backbone(cfg.model.backbone)
    prompt_sets = [build_prompts(name) for name in args.prompts or [cfg.model.get('prompts', 'unknown')]]
    templates = fixed_templates(prompt_sets)
    datasets, pipeline = build_datasets(cfg, args.split)
    jobs = make_jobs(datasets, lambda name: (template.format(class_name=name) for template in templates))
    backbone = MODELS.build(cfg.model.backbone)
    dtype = args.dtype or cfg.get('token_dtype') or backbone.identity()['dtype']
    identity = plain(
        dict(
            backbone=backbone.identity(),
            prompts=templates,
            dataset=frame_settings(datasets, args.split),
            pipeline=pipeline,
            data_preprocessor=cfg.model.get('data_preprocessor') or {},
            dtype=dtype,
        )
    )
    # All processes share out what one of them sees: another extraction may be adding to the store at this moment.
    missing = [find_missing(out, identity, jobs, dry_run=args.dry_run) if dist.is_main_process() else None]
    dist.broadcast_object_list(missing)
    todo = [replace(job, prompts=missing[0][job.video]) for job in jobs if job.video in missing[0]]
    if dist.is_main_process():
        report(backbone, jobs, todo, out, getattr(torch, dtype))
    if args.dry_run or not todo:
        return 0
    return extract(args, cfg, backbone, identity, todo, out)


def report(
    backbone: torch.nn.Module,
    jobs: Sequence[ExtractionJob],
    todo: Sequence[ExtractionJob],
    out: Path,
    dtype: torch.dtype,
) -> None:
    """Say what there is to do, and whether the disk has room for it."""
    size = bytes_needed(backbone, todo, dtype)
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    print(f'{len(jobs)} videos, {len(jobs) - len(todo)} of them in {out}; {len(todo)} to do, {size / 1e6:.1f} MB.')
    if size > free:
        print(f'Warning: only {free / 1e6:.1f} MB are free at {existing}.', file=sys.stderr)


def extract(
    args: argparse.Namespace,
    cfg: Config,
    backbone: torch.nn.Module,
    identity: dict,
    todo: list[ExtractionJob],
    out: Path,
) -> int:
    """Extract this process's share; returns 1 if videos could not be loaded."""
    rank, world_size = dist.get_dist_info()
    mine = todo[rank::world_size]
    device = torch.device('cuda', torch.cuda.current_device()) if torch.cuda.is_available() else torch.device('cpu')
    preprocessor = MODELS.build(cfg.model.get('data_preprocessor') or dict(type='ActionDataPreprocessor')).to(device)
    workers = cfg.test_dataloader.get('num_workers', 0) if args.num_workers is None else args.num_workers
    extractor = TokenExtractor(
        backbone,
        preprocessor,
        TokenWriter(out, identity, shard_bytes=args.shard_size << 20),
        batch_size=args.batch_size,
        num_workers=workers,
    )
    name = 'tokens' if world_size == 1 else f'tokens (process 1 of {world_size})'
    with ExtractionProgress(len(mine), name, quiet=rank > 0) as progress:
        failures = extractor.run(mine, progress)
    failures = {video: error for part in dist.all_gather_object(failures) for video, error in part.items()}
    if dist.is_main_process():
        for error in failures.values():
            print(error, file=sys.stderr)
        print(f'{len(todo) - len(failures)} videos extracted into {out}, {len(failures)} could not be loaded.')
    return int(bool(failures))


if __name__ == '__main__':
    leave(main())
