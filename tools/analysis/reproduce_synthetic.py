#!/usr/bin/env python
"""Make the table and the figures of SyntheticMotion and the miniature Video-LLaVA, from nothing to the checks.

    python tools/analysis/reproduce_synthetic.py [--jobs 2] [--quick] [--only 'training-free*'] [--publish]

Every row is an ordinary config, `<out>/rows/<row>/config.py`, that the standard tools train and test; what is done is
not done again. Layer, learning rate, temperature, fusion and metric are chosen on meta-val, the layer among those that
leave room for training; only then is meta-test read. Afterwards `<out>` holds `table.md`, `table.json`, `choices.json`
and three figures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synthetic_table.settings import REPOSITORY, Settings, use_data

QUICK = dict(
    layers=(0, 2, 4),
    seeds=(0, 1),
    video_seeds=(0,),
    ablation_seeds=(0,),
    train_episodes=24,
    choice_episodes=16,
    video_episodes=4,
    val_episodes=30,
    test_episodes=30,
    videos_per_class=6,
    fusions=('confidence',),
    rates=(1, 3),
    temperatures=(0.05,),
    fusion_temperatures=(0.1, 0.3),
    parts=('local+global',),
    fractions=(),
    clip=('clip_fsar',),
)
PUBLISHED = REPOSITORY / 'projects' / 'mini_video_llava' / 'results'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    summary, _, details = __doc__.partition('\n')
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, help='the benchmark; default data/synthetic_motion, made if missing')
    parser.add_argument('--out', type=Path, help='default work_dirs/reproduce_synthetic')
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='rows at a time; default: the cores')
    parser.add_argument('--quick', action='store_true', help='few rows of each kind and few episodes; shows no result')
    parser.add_argument('--only', default='*', metavar='GLOB', help='train and test rows with these names alone')
    parser.add_argument('--seeds', type=int, nargs='+', help='of the headline rows; default 0 1 2 3 4')
    parser.add_argument('--video-seeds', type=int, nargs='+', help='of Known and methods on CLIP; default 0 1 2')
    parser.add_argument('--ablation-seeds', type=int, nargs='+', help='of the ablations; default 0 1 2')
    parser.add_argument('--train-episodes', type=int, help='of the headline trainings; default 3000')
    parser.add_argument('--choice-episodes', type=int, help='of choices and ablations; default 1000')
    parser.add_argument('--video-episodes', type=int, help='of Known prompts and methods on CLIP; default 600')
    parser.add_argument('--val-episodes', type=int, help='that make the choices; default 2000')
    parser.add_argument('--test-episodes', type=int, help='default 10000')
    parser.add_argument('--publish', action='store_true', help=f'copy table and figures to {PUBLISHED.name}/')
    return parser.parse_args(argv)


def settings_of(args: argparse.Namespace) -> Settings:
    """What the command line says, over ``--quick``, over the defaults."""
    # A quick run has a small data set and a folder of its own.
    suffix = '_quick' if args.quick else ''
    root = Path(os.environ.get('FSAR_DATA_ROOT', REPOSITORY / 'data')) / ('quick' if args.quick else '')
    data = (args.data or root / 'synthetic_motion').resolve()
    out = (args.out or REPOSITORY / 'work_dirs' / f'reproduce_synthetic{suffix}').resolve()
    settings = Settings(data, out, **(QUICK if args.quick else {}))
    for name in ('train_episodes', 'choice_episodes', 'video_episodes', 'val_episodes', 'test_episodes'):
        value = getattr(args, name)
        if value is not None:
            if value < 4:
                raise ValueError(f'--{name.replace("_", "-")} must be at least 4, but is {value}.')
            settings = replace(settings, **{name: value})
    for name in ('seeds', 'video_seeds', 'ablation_seeds'):
        if getattr(args, name) is not None:
            settings = replace(settings, **{name: tuple(dict.fromkeys(getattr(args, name)))})
    return settings


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = settings_of(args)
    use_data(settings.data)
    # Below: modules that read the shipped configs, which ask for the data set.
    from synthetic_table.jobs import Pool
    from synthetic_table.report import write_report
    from synthetic_table.stages import run_stages

    settings.out.mkdir(parents=True, exist_ok=True)
    pool = Pool(args.jobs, args.only)
    outcome = run_stages(settings, pool)
    command = ['python', 'tools/analysis/reproduce_synthetic.py', *(sys.argv[1:] if argv is None else argv)]
    passed = write_report(settings, outcome, command=' '.join(command), seconds=pool.seconds())
    if args.publish:
        from synthetic_table.publish import publish

        publish(settings.out, PUBLISHED)
    for name, log in pool.failed.items():
        print(f'{name} failed: {log}', file=sys.stderr)
    print(f'{settings.out / "table.md"}: checks {"passed" if passed else "NOT all passed"}')
    return 1 if pool.failed else 0


if __name__ == '__main__':
    sys.exit(main())
