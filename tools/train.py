#!/usr/bin/env python
"""Train a recognizer. Takes the options of MMAction2's ``tools/train.py``.

Usage:
    python tools/train.py CONFIG [--work-dir DIR] [--resume [CHECKPOINT]] [--seed N] [--cfg-options KEY=VALUE ...]
    bash tools/dist_train.sh CONFIG GPUS [options]
"""

from __future__ import annotations

import argparse

from mmengine.config import Config, DictAction
from mmengine.runner import CheckpointLoader, find_latest_checkpoint

from fsar_llava.engine.launch import (
    build_runner,
    keep_freed_memory,
    leave,
    process_group,
    set_local_rank,
    work_dir_of,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a recognizer')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default work_dirs/<config name>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint; without a value, from the latest one in the work dir. Keep the numbers of '
        'processes and episodes and the batch size: schedules of the learning rate count iterations, and would '
        'otherwise end before or after the training',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (fp16, GPU only)')
    parser.add_argument('--no-validate', action='store_true', help='no validation during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size, see auto_scale_lr'
    )
    parser.add_argument('--seed', type=int, help="seed of initialisation and training episodes; overrides the config's")
    parser.add_argument(
        '--diff-rank-seed',
        action='store_true',
        help='a seed of its own for each rank; the seed of the episodes is the same for all',
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic operations only; others raise an error'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of the config: key=value, key="[a,b]"'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    set_local_rank(args.local_rank)
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Put the command line's options into the config."""
    cfg.launcher = args.launcher
    cfg.work_dir = work_dir_of(args.config, args.work_dir, cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
        wrapper = getattr(wrapper, '__name__', wrapper)  # in configs of pure Python, types are classes
        if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(f'--amp works with OptimWrapper and AmpOptimWrapper, but the config has {wrapper!r}.')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise ValueError(f'--auto-scale-lr: {args.config} has no auto_scale_lr=dict(base_batch_size=...).')
        cfg.auto_scale_lr.enable = True
    randomness = dict(cfg.get('randomness') or {})
    randomness['seed'] = args.seed if args.seed is not None else randomness.get('seed')
    randomness['diff_rank_seed'] = args.diff_rank_seed or randomness.get('diff_rank_seed', False)
    randomness['deterministic'] = args.deterministic or randomness.get('deterministic', False)
    cfg.randomness = randomness
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.get('resume') and cfg.randomness.seed is None:
        cfg.randomness.seed = resumed_seed(cfg)
    if cfg.randomness.get('diff_rank_seed'):
        # mmengine then gives the sampler no seed, but all ranks have to draw from the same episodes.
        if cfg.randomness.seed is None:
            raise ValueError('--diff-rank-seed needs --seed, from which the seeds of the ranks and the episodes come.')
        cfg.train_dataloader.sampler.setdefault('seed', cfg.randomness.seed)
    return cfg


def resumed_seed(cfg: Config) -> int | None:
    """The seed of the training that is resumed; None where there is none yet.

    mmengine takes it up as well, but only behind the making of the sampler, which would have a new random one.
    """
    checkpoint = cfg.get('load_from') or find_latest_checkpoint(cfg.work_dir)
    if checkpoint is None:
        return None
    return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu').get('meta', {}).get('seed')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    keep_freed_memory()
    cfg = merge_args(Config.fromfile(args.config), args)
    with process_group(cfg, args.launcher):
        build_runner(cfg).train()


if __name__ == '__main__':
    main()
    leave()
