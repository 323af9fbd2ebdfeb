"""One file of a token store."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .atomic_file import write_atomically
from .fingerprint import Fingerprint

if TYPE_CHECKING:
    from safetensors import safe_open

PATTERN = 'tokens-*.safetensors'


class TokenShardError(RuntimeError):
    """A shard is truncated or altered, or belongs to another store."""


class ForeignShardError(TokenShardError):
    """An intact shard belongs to another store."""


@dataclass(frozen=True)
class VideoTokensOnDisk:
    """Where the tokens of one video lie.

    Attributes:
        video: Name of the video, relative to its dataset's prefix.
        fingerprint: Of the content that was encoded.
        shard: The file.
        row: Number of the video within the shard.
        visual: Checksum (CRC-32) of the visual tokens.
        textual: Prompt -> checksum of its textual tokens.
    """

    video: str
    fingerprint: Fingerprint
    shard: Path
    row: int
    visual: int
    textual: Mapping[str, int]


def visual_name(row: int) -> str:
    """Name of a video's visual tokens in its shard."""
    return f'{row}.visual'


def textual_name(row: int, prompt: int) -> str:
    """Name of a prompt's textual tokens in the shard of its video."""
    return f'{row}.textual.{prompt}'


def write_shard(
    folder: Path,
    store_id: str,
    videos: Sequence[tuple[str, Fingerprint, Tensor, Mapping[str, Tensor]]],
    *,
    written: int | None = None,
) -> Path:
    """Write videos into a new file that is named after its own content.

    So no two writers ever mean different files by one name, and the name tells whether the content is intact.

    Args:
        folder: The store.
        store_id: Of its manifest.
        videos: ``(name, fingerprint, visual [T, P, D], {prompt: textual [L, D]})`` each.
        written: Time in ns that decides which of two entries of one video is the newer one. Defaults to now.

    Returns:
        The file.
    """
    from safetensors.torch import save

    tensors, entries = {}, []
    for row, (video, fingerprint, visual, textual) in enumerate(videos):
        tensors[visual_name(row)] = visual = visual.contiguous()
        prompts = []
        for number, (prompt, tokens) in enumerate(textual.items()):
            tensors[textual_name(row, number)] = tokens = tokens.contiguous()
            prompts.append([prompt, checksum(tokens)])
        entries.append(dict(video=video, fingerprint=fingerprint, visual=checksum(visual), textual=prompts))
    metadata = dict(store_id=store_id, written=str(written or time.time_ns()), videos=json.dumps(entries))
    metadata['checksum'] = _index_checksum(metadata)
    content = save(tensors, metadata)
    path = folder / PATTERN.replace('*', _content_hash(content))
    write_atomically(path, content)
    return path


def read_index(path: Path, store_id: str) -> tuple[int, list[VideoTokensOnDisk]]:
    """The time a shard was written and its videos, from its header alone.

    Raises:
        TokenShardError: If the file is truncated or damaged.
        ForeignShardError: If it is intact, but of another store or no shard.
        OSError: If nothing is wrong with the file, but the machine cannot open or read it now.
    """
    try:
        with open_shard(path) as file:
            metadata = file.metadata()
    except FileNotFoundError:
        raise
    except Exception as error:  # safetensors has no common base of what it raises
        if is_intact(path):
            raise OSError(
                f'The token shard {path} is whole, but cannot be opened now: {error!r}. Give the process more memory '
                'or open files (ulimit -v, ulimit -n) and run the same command again.'
            ) from error
        raise _damaged(path, error) from error
    try:
        if metadata.get('checksum') not in (None, _index_checksum(metadata)):  # older shards have none
            raise ValueError('its header does not have its checksum')
        written, owner = int(metadata['written']), metadata['store_id']
        entries = [
            VideoTokensOnDisk(
                entry['video'], Fingerprint(*entry['fingerprint']), path, row, entry['visual'], dict(entry['textual'])
            )
            for row, entry in enumerate(json.loads(metadata['videos']))
        ]
        if owner != store_id and not is_intact(path):
            raise ValueError(f'its store id is {owner!r}')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if is_intact(path):
            raise ForeignShardError(
                f'{path} is no token shard as this version writes them ({error!r}). Move it out of the folder.'
            ) from error
        raise _damaged(path, error) from error
    if owner != store_id:
        raise ForeignShardError(
            f'The token shard {path} was made for another store (id {owner[:12]}) than that of its folder (id '
            f'{store_id[:12]}). Move it out of the folder.'
        )
    return written, entries


def _damaged(path: Path, error: Exception) -> TokenShardError:
    return TokenShardError(
        f'The token shard {path} is damaged ({error}). Remove it with: python tools/tokens.py prune {path.parent} '
        '--broken, and run the extraction again; it makes up for what is missing.'
    )


def open_shard(path: Path) -> safe_open:
    """Open a shard for reading.

    Raises:
        OSError: If the system does not open it, with the reason: safetensors calls any such file missing.
    """
    from safetensors import safe_open

    with path.open('rb'):
        pass
    return safe_open(path, framework='pt')


def is_intact(path: Path) -> bool:
    """Whether every byte of a shard is as it was written; reads all of it.

    Raises:
        OSError: If it cannot be read.
    """
    content = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 22):
            content.update(block)
    return path.name == PATTERN.replace('*', content.hexdigest()[:32])


def checksum(tokens: Tensor) -> int:
    """CRC-32 of a tensor's bytes; costs little beside reading them."""
    return zlib.crc32(tokens.reshape(-1).view(torch.uint8).numpy())


def _index_checksum(metadata: Mapping[str, str]) -> str:
    """CRC-32 of what a shard says about its videos."""
    return str(zlib.crc32(''.join(metadata[name] for name in ('store_id', 'written', 'videos')).encode()))


def _content_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
