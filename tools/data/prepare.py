#!/usr/bin/env python
r"""Prepare a benchmark or own videos: annotation files, and an audit of which videos they are about.

    python tools/data/prepare.py hmdb51 --videos HMDB51
    python tools/data/prepare.py ucf101 --videos UCF-101
    python tools/data/prepare.py ssv2_full --videos 20bn-something-something-v2 \
        --official something-something-v2-train.json something-something-v2-validation.json
    python tools/data/prepare.py kinetics100 --videos kinetics --lists trainlist.txt vallist.txt testlist.txt
    python tools/data/prepare.py ssv2_small --videos 20bn-something-something-v2 --lists train.txt val.txt test.txt
    python tools/data/prepare.py custom --videos my_videos --ratio 2 1 1

A killed run goes on where it was. The folder of --out then holds

    train.txt, val.txt, test.txt    lines `path<TAB>label`, for VideoDataset with TAB as delimiter
    classes.txt                     one class name for prompts a line; its line is its label, through all three splits
    videos                          link to the videos
    audit.json                      expected and found by class; missing, unreadable, short, duplicate videos; list hash
    left_out.txt                    every video that is not used, with the reason
    opened.jsonl                    what the decoder said, for the next run
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def import_lightly() -> None:
    """Make ``fsar_llava.datasets.preparation`` importable without the seconds that torch and MMAction2 take.

    The package's own ``__init__`` registers its components and needs both; preparing data needs neither.
    """
    for name in ('fsar_llava', 'fsar_llava.datasets'):
        if name in sys.modules:
            continue
        found = importlib.util.find_spec(name)
        if found is None:
            raise SystemExit(
                'The package fsar_llava is not installed. In the folder of the project run: pip install -e .'
            )
        module = ModuleType(name)
        module.__path__ = list(found.submodule_search_locations)
        sys.modules[name] = module


import_lightly()
from fsar_llava.datasets.preparation import prepare_dataset  # noqa: E402
from fsar_llava.datasets.splits import split_names  # noqa: E402


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, details = __doc__.partition('\n')
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('dataset', choices=[*split_names(), 'custom'])
    parser.add_argument('--videos', type=Path, required=True, help='folder of the videos')
    parser.add_argument(
        '--out', type=Path, help='folder to write to; default DATASET in FSAR_DATA_ROOT, or else in data'
    )
    parser.add_argument('--lists', type=Path, nargs='+', default=[], help='list files of train, val and test')
    parser.add_argument('--official', type=Path, nargs=2, default=[], help='train and validation file of SSv2')
    parser.add_argument('--frames', action='store_true', help='the videos are folders of images (RawframeDataset)')
    parser.add_argument(
        '--num-frames', type=int, default=8, help='report videos with fewer frames; default: %(default)s'
    )
    parser.add_argument('--no-open', action='store_true', help='do not open the videos')
    parser.add_argument('--decoder', choices=['decord', 'pyav'], default='decord', help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes; default: one a core')
    custom = parser.add_argument_group('custom')
    custom.add_argument(
        '--ratio', type=float, nargs=3, default=[2, 1, 1], help='shares of the classes for train, val and test'
    )
    custom.add_argument('--seed', type=int, default=0, help='of the division; default: %(default)s')
    custom.add_argument(
        '--class-lists', type=Path, nargs='+', default=[], help='instead: files train*, val*, test* with a class a line'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or Path(os.environ.get('FSAR_DATA_ROOT', 'data')) / args.dataset
    options = {key: value for key, value in vars(args).items() if key not in ('dataset', 'videos', 'out', 'no_open')}
    try:
        audit = prepare_dataset(args.dataset, args.videos, out, open_videos=not args.no_open, **options)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f'Error: {error}', file=sys.stderr)
        return 1
    from rich.console import Console

    console = Console()
    console.print(audit.table())
    for finding in audit.findings():
        console.print(f'- {finding}', markup=False, highlight=False)
    console.print(
        f'Hash of the list, all splits together: {audit.hash("train", "val", "test")}', highlight=False, soft_wrap=True
    )
    console.print(f'Written to {out}', highlight=False, markup=False, soft_wrap=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
