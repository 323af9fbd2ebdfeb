"""What the owners of a disk do with token stores: verify, merge, prune."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from .atomic_file import TEMPORARY, open_atomically
from .identity import differences, flatten
from .token_manifest import FILE as MANIFEST
from .token_manifest import TokenManifest, TokenStoreMismatchError
from .token_shard import (
    PATTERN,
    ForeignShardError,
    TokenShardError,
    VideoTokensOnDisk,
    is_intact,
    read_index,
    write_shard,
)
from .token_store import TokenStore

ABANDONED_SECONDS = 3600
"""A temporary file of this age belongs to nobody any more."""


def verify(folder: str | Path, progress: Callable[[Path], None] = lambda shard: None) -> dict[Path, str]:
    """Read every byte of a store.

    Args:
        folder: The store.
        progress: Called with each file before it is read.

    Returns:
        File that is damaged or of another store -> what is wrong with it.

    Raises:
        OSError: If the machine cannot read a file now.
    """
    store_id = TokenManifest.read(folder).store_id
    damaged = {}
    for shard in sorted(Path(folder).glob(PATTERN)):
        progress(shard)
        try:
            _check_shard(shard, store_id)
        except TokenShardError as error:
            damaged[shard] = str(error)
    return damaged


def merge(target: str | Path, sources: Sequence[str | Path]) -> int:
    """Copy the files of stores of one identity into one of them, or into a new one.

    Args:
        target: The store that grows; made if it is not there.
        sources: The stores that are read.

    Returns:
        Number of files copied; those that the target has already are not.

    Raises:
        TokenStoreMismatchError: If the identities differ; nothing is copied.
        TokenShardError: If a file to copy is damaged or of another store; nothing is copied.
        OSError: If a file cannot be read or copied; nothing of it is left behind.
    """
    target = Path(target)
    stores = [TokenManifest.read(source) for source in sources]
    present = [TokenManifest.read(target)] if (target / MANIFEST).exists() else []
    for other in [*present, *stores[1:]]:
        _check_alike(stores[0], other)
    shards = [shard for store in stores for shard in sorted(store.folder.glob(PATTERN))]
    shards = [shard for shard in shards if not (target / shard.name).exists()]
    for shard in shards:
        _check_shard(shard, stores[0].store_id)
    TokenManifest.create(target, stores[0].identity)
    once = {shard.name: shard for shard in shards}
    for name, shard in once.items():
        with shard.open('rb') as original, open_atomically(target / name) as copy:
            shutil.copyfileobj(original, copy)
    return len(once)


def _check_shard(shard: Path, store_id: str) -> None:
    """Read every byte of a shard; raises TokenShardError where it is damaged or of another store."""
    read_index(shard, store_id)
    if not is_intact(shard):
        raise TokenShardError(
            f'The token shard {shard} was altered: its content does not have the hash in its name. Remove it with: '
            f'python tools/tokens.py prune {shard.parent} --broken, and run the extraction again.'
        )


def _check_alike(one: TokenManifest, other: TokenManifest) -> None:
    """Raises TokenStoreMismatchError where two stores are not of one id; 64 and 64.0 make two, although equal."""
    if one.store_id == other.store_id:
        return
    left, right = ({name: json.dumps(value) for name, value in flatten(store.identity)} for store in (one, other))
    fields = '\n  '.join(f'{name}: {first} and {second}' for name, first, second in differences(left, right))
    raise TokenStoreMismatchError(
        f'The token stores {one.folder} and {other.folder} were made from different things:\n  {fields}\nNothing is '
        'copied. Merge stores of one identity only, or extract the tokens of one of the two again as the other was '
        'made.'
    )


def prune(
    folder: str | Path, *, keep: Collection[str] | None = None, broken: bool = False, dry_run: bool = False
) -> dict[str, int]:
    """Remove what nobody needs: superseded tokens and files that a killed process left behind.

    Files that hold something else as well are written anew without it. No extraction may run in the folder.

    Args:
        folder: The store.
        keep: Names of the videos to keep; None for all.
        broken: Remove damaged files too; the next extraction makes up for them. Files of another store stay.
        dry_run: Only count.

    Returns:
        Numbers of ``videos`` and ``files`` that are removed, and the ``bytes`` that become free.

    Raises:
        ValueError: If ``keep`` names no video of the store.
        TokenShardError: If tokens to keep were altered. As behind an OSError, every video to keep is still there.
        OSError: If the machine cannot read a file now, or the disk is full; what needs no room may be gone by then.
    """
    bad = verify(folder) if broken else {}
    store = TokenStore(folder, skip_damaged=True, skip=bad)
    wanted = {_place(entry) for name, entry in store.videos.items() if keep is None or name in keep}
    if store.videos and not wanted:
        raise ValueError(
            f'The token store {folder} holds none of the {len(keep)} videos to keep, such as '
            f'{min(keep, default=None)!r}, but {len(store)} others, such as {min(store.videos)!r}. Nothing is removed. '
            'Check the lists and their --delimiter.'
        )
    gone, thinned = _leftovers(Path(folder), broken=broken), []
    removed = dict(videos=0, files=0, bytes=0)
    for shard in store.shards():
        if shard in store.damaged or shard in bad:
            if broken and not isinstance(store.damaged.get(shard), ForeignShardError):
                gone.append(shard)
            continue
        written, entries = read_index(shard, store.manifest.store_id)
        kept = [entry for entry in entries if _place(entry) in wanted]
        removed['videos'] += len(entries) - len(kept)
        if not kept:
            gone.append(shard)
        elif len(kept) < len(entries):
            thinned.append((shard, written, kept))
            removed['bytes'] += shard.stat().st_size * (len(entries) - len(kept)) // len(entries)
    removed['files'] = len(gone)
    removed['bytes'] += sum(path.stat().st_size for path in gone)
    if dry_run:
        return removed
    before = _size(Path(folder))
    for path in gone:  # first, since writing needs room
        path.unlink()
    for shard, written, kept in thinned:
        videos = [(entry.video, entry.fingerprint, *store.read_entry(entry)) for entry in kept]
        write_shard(store.folder, store.manifest.store_id, videos, written=written)
        shard.unlink()
    return dict(removed, bytes=before - _size(Path(folder)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _place(entry: VideoTokensOnDisk) -> tuple[str, int]:
    return entry.shard.name, entry.row


def _leftovers(folder: Path, *, broken: bool) -> list[Path]:
    old = time.time() - ABANDONED_SECONDS
    found = [path for path in folder.glob(f'{TEMPORARY}*') if path.stat().st_mtime < old]
    return found + (list(folder.glob(f'{PATTERN}.damaged')) if broken else [])
