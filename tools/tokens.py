#!/usr/bin/env python
"""Look after token stores.

Usage:
    python tools/tokens.py info STORE                       what is in it, what it was made from
    python tools/tokens.py verify STORE                     read every byte; exit status 1 if a file is damaged or of
                                                            another store
    python tools/tokens.py merge TARGET SOURCE [SOURCE ...] put stores of one identity together
    python tools/tokens.py prune STORE [--broken] [--keep ANNOTATIONS ...] [--dry-run]
                                                            remove what is superseded, damaged or not in the lists
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from fsar_llava.features import TokenStore
from fsar_llava.features.identity import flatten
from fsar_llava.features.store_care import merge, prune, verify


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Look after token stores')
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in (('info', 'what is in a store'), ('verify', 'read every byte of a store')):
        commands.add_parser(name, help=text).add_argument('store')
    command = commands.add_parser('merge', help='put stores of one identity together')
    command.add_argument('target')
    command.add_argument('sources', nargs='+')
    command = commands.add_parser('prune', help='remove what is superseded, damaged or not wanted')
    command.add_argument('store')
    command.add_argument('--broken', action='store_true', help='remove damaged files; the next extraction refills them')
    command.add_argument('--keep', nargs='+', help='annotation files; all other videos are removed')
    command.add_argument('--delimiter', default='\t', help='between name and label in these files; default: a TAB')
    command.add_argument('--dry-run', action='store_true', help='only say what would be removed')
    return parser.parse_args(argv)


def show_info(folder: str) -> None:
    store = TokenStore(folder, skip_damaged=True)
    size = sum(shard.stat().st_size for shard in store.shards())
    print(f'{folder}: {len(store)} videos in {len(store.shards())} files, {size / 1e6:.1f} MB')
    print(f'store id: {store.manifest.store_id}')
    if store.superseded:
        print(f'{len(store.superseded)} superseded entries; remove them with: python tools/tokens.py prune {folder}')
    for shard in store.damaged:
        print(f'damaged: {shard}')
    for name, value in flatten(store.manifest.identity):
        print(f'  {name}: {value!r}')


def show_verification(folder: str) -> int:
    damaged = verify(folder, lambda shard: print(f'reading {shard.name}', flush=True))
    for message in damaged.values():
        print(message, file=sys.stderr)
    print(f'{len(damaged)} files are damaged or of another store.' if damaged else 'Every file is intact.')
    return int(bool(damaged))


def read_names(files: Iterable[str] | None, delimiter: str) -> set[str] | None:
    if files is None:
        return None
    names = set()
    for file in files:
        for number, line in enumerate(Path(file).read_text(encoding='utf-8').split('\n'), 1):  # as mmengine does
            if not line.strip():
                continue
            name, found, _ = line.partition(delimiter)
            if not found:
                raise ValueError(
                    f'Line {number} of {file} has no {delimiter!r} behind the name: {line!r}. Set --delimiter to what '
                    "stands there, such as --delimiter ' ' for lists of frames."
                )
            names.add(name.strip())
    return names


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.command == 'info':
        show_info(args.store)
    elif args.command == 'verify':
        return show_verification(args.store)
    elif args.command == 'merge':
        print(
            f'{merge(args.target, args.sources)} files copied; {len(TokenStore(args.target))} videos in {args.target}.'
        )
    else:
        names = read_names(args.keep, args.delimiter)
        removed = prune(args.store, keep=names, broken=args.broken, dry_run=args.dry_run)
        verb = 'would be removed' if args.dry_run else 'removed'
        print(f'{removed["videos"]} entries and {removed["files"]} files {verb}, {removed["bytes"] / 1e6:.1f} MB.')
        for error in TokenStore(args.store, skip_damaged=True).damaged.values():
            print(error, file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
