#!/usr/bin/env python
"""Test a recognizer. Takes the options of MMAction2's ``tools/test.py``.

The accuracy and its interval are printed, and written with the task, the episode hash, the per-class accuracy and the
versions to ``few_shot_result.json`` in the work dir.

Usage:
    python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--dump RESULTS.pkl] [--cfg-options KEY=VALUE ...]
    bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options]
"""

from __future__ import annotations

import argparse
import os

from mmengine.config import Config, DictAction

from fsar_llava.engine.launch import (
    build_runner,
    keep_freed_memory,
    leave,
    process_group,
    set_local_rank,
    work_dir_of,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test a recognizer')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help="checkpoint file; 'none' tests the model as built (training-free)")
    parser.add_argument('--work-dir', help='folder for logs and results; default work_dirs/<config name>')
    parser.add_argument(
        '--dump',
        metavar='RESULTS.pkl',
        help='write the predictions to this .pkl file: a list with a dict for each episode. Its query_names are the '
        'paths of the query videos and, in their order, pred_label and gt_label their ways (positions in class_names) '
        'and pred_scores their probabilities. With settings, a file for each, RESULTS_<name>.pkl',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of the config: key=value, key="[a,b]"'
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='show every n-th episode')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    set_local_rank(args.local_rank)
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Put the command line's options into the config."""
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = work_dir_of(args.config, args.work_dir, cfg)
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    # Parameters that no checkpoint fills are random, but the same each time.
    given = {key: value for key, value in (cfg.get('randomness') or {}).items() if value is not None}
    cfg.randomness = {'seed': 0, **given}
    # No gradients are exchanged in a test.
    cfg.model_wrapper_cfg = dict(type='EvaluationWrapper')
    if args.show or args.show_dir is not None:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError(
                f'--show and --show-dir need default_hooks.visualization in {args.config}; '
                "set visualization=dict(type='EpisodeVisualizationHook')."
            )
        # Pictures need the frames of whole episodes, which the feature bank never has together.
        cfg.test_cfg = dict(type='TestLoop')
        cfg.default_hooks.visualization.update(
            enable=True, show=args.show, wait_time=args.wait_time, out_dir=args.show_dir, interval=args.interval
        )
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
    for evaluator in evaluators:
        if getattr(evaluator['type'], '__name__', evaluator['type']) == 'FewShotMetric':  # a class in pure Python
            evaluator.setdefault('out_file', os.path.join(cfg.work_dir, 'few_shot_result.json'))
    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--dump writes a pickle file whose name ends in .pkl or .pickle, but got {args.dump!r}.')
        evaluators = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    cfg.test_evaluator = list(evaluators)
    return cfg


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    keep_freed_memory()
    cfg = merge_args(Config.fromfile(args.config), args)
    with process_group(cfg, args.launcher):
        build_runner(cfg).test()


if __name__ == '__main__':
    main()
    leave()
