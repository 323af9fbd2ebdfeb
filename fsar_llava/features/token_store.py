"""Reads tokens of videos from disk."""

from __future__ import annotations

import os
import posixpath
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from .token_manifest import TokenManifest
from .token_shard import (
    PATTERN,
    TokenShardError,
    VideoTokensOnDisk,
    checksum,
    open_shard,
    read_index,
    textual_name,
    visual_name,
)

OPEN_BYTES = 1 << 33
"""Size of the shards that are kept open. Opening one again takes longer than reading a video, at 64 KB many times."""


class StoredVideo(NamedTuple):
    """Tokens of one video as the backbone gave them.

    Attributes:
        visual: ``[T, P, D]``.
        textual: Prompt -> ``[L, D]``.
    """

    visual: Tensor
    textual: Mapping[str, Tensor]


class TokenStore:
    """A folder of tokens, open for reading.

    Opening reads the headers of the shards only; tokens are read when they are asked for. Of a video that was
    extracted more than once, the latest tokens count. Safe to use in forked and spawned workers.

    Args:
        folder: The store.
        expect: Fields of the store's identity that must have these values, nested, such as
            ``dict(backbone=dict(layer=16))``.
        skip_damaged: Leave damaged shards out, with their errors in ``damaged``, instead of raising.
        skip: Shards whose entries are left out whatever their headers say.

    Attributes:
        manifest: What the tokens were made from.
        videos: Name -> where its tokens are.
        superseded: Entries that a later one of the same video replaces.
        damaged: Shard -> error, where ``skip_damaged`` is set.

    Raises:
        FileNotFoundError: If the folder is no token store.
        TokenStoreMismatchError: If a field of ``expect`` differs.
        TokenShardError: If a shard is truncated or damaged, or of another store.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        expect: Mapping | None = None,
        skip_damaged: bool = False,
        skip: Collection[Path] = (),
    ) -> None:
        self.manifest = TokenManifest.read(folder)
        if expect:
            self.manifest.check(expect, partial=True)
        self.damaged: dict[Path, TokenShardError] = {}
        self.videos: dict[str, VideoTokensOnDisk] = {}
        self.superseded: list[VideoTokensOnDisk] = []
        for entry in self._entries(skip_damaged, skip):
            if entry.video in self.videos:
                self.superseded.append(self.videos[entry.video])
            self.videos[entry.video] = entry
        self._files: OrderedDict[Path, object] = OrderedDict()
        self._process = os.getpid()

    @property
    def folder(self) -> Path:
        """Where the store is."""
        return self.manifest.folder

    def shards(self) -> list[Path]:
        """All files with tokens, by name."""
        return sorted(self.folder.glob(PATTERN))

    def __len__(self) -> int:
        return len(self.videos)

    def entry(self, video: str) -> VideoTokensOnDisk:
        """The entry of a video, from its name.

        Raises:
            KeyError: If there is none.
        """
        if video not in self.videos:
            raise KeyError(
                f'The token store {self.folder} holds no video {video!r} (it holds {len(self)} videos, such as '
                f'{next(iter(self.videos), None)!r}). Run the extraction again, with the split that the video belongs '
                'to and with the data_prefix that it is read with; names are relative to it.'
            )
        return self.videos[video]

    def find(self, path: str) -> VideoTokensOnDisk:
        """The entry of a video whose name is not known, from a path that ends in it; the longest such name counts.

        Only for videos that were extracted: the path of another one may end in a name of the store by chance, as
        ``b/x.mp4`` ends in ``x.mp4``.

        Raises:
            KeyError: If there is none.
        """
        parts = posixpath.normpath(path).split('/')
        ends = [path, *('/'.join(parts[begin:]) for begin in range(len(parts)))]
        return self.entry(next((end for end in ends if end in self.videos), path))

    def read(self, video: str) -> StoredVideo:
        """Read the tokens of one video, from its name.

        Raises:
            KeyError: If the video is not in the store.
            TokenShardError: If the bytes are not those that were written.
        """
        return self.read_entry(self.entry(video))

    def read_entry(self, entry: VideoTokensOnDisk) -> StoredVideo:
        """As :meth:`read`, of one entry, superseded or not."""
        visual = self._tensor(entry, visual_name(entry.row), entry.visual)
        textual = {
            prompt: self._tensor(entry, textual_name(entry.row, number), expected)
            for number, (prompt, expected) in enumerate(entry.textual.items())
        }
        return StoredVideo(visual, textual)

    def check_content(self, entry: VideoTokensOnDisk, path: str | Path, total_frames: int | None = None) -> None:
        """Refuse tokens of a video that is no longer the one at ``path``. A file that is not there is not checked.

        Args:
            entry: Its tokens.
            path: The file, or the folder of frames.
            total_frames: Of a folder of frames, as the dataset's list has it.

        Raises:
            ValueError: If the content is another one than what was encoded.
        """
        if total_frames != entry.fingerprint.total_frames:
            raise ValueError(
                f'The list gives {path} {total_frames} frames, but the tokens in the store {self.folder} were made '
                f'from {entry.fingerprint.total_frames} frames. Run the extraction again with this list; it encodes '
                'the videos that have changed.'
            )
        if os.path.exists(path) and not entry.fingerprint.matches(path, total_frames):
            raise ValueError(
                f'The video {path} was replaced after its tokens were extracted: the store {self.folder} has those of '
                f'{entry.fingerprint.size} bytes, sha256 {entry.fingerprint.sha256[:12]}. Run the extraction again; '
                'it encodes the videos that have changed.'
            )

    def _entries(self, skip_damaged: bool, skip: Collection[Path]) -> list[VideoTokensOnDisk]:
        """The entries of all shards, oldest first."""
        found = []
        for path in self.shards():
            try:
                written, entries = read_index(path, self.manifest.store_id)
            except TokenShardError as error:
                if not skip_damaged:
                    raise
                self.damaged[path] = error
            else:
                if path not in skip:
                    found.append((written, path.name, entries))
        return [entry for *_, entries in sorted(found, key=lambda shard: shard[:2]) for entry in entries]

    def _tensor(self, entry: VideoTokensOnDisk, name: str, expected: int) -> Tensor:
        from safetensors import SafetensorError

        try:
            tokens = self._file(entry.shard).get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise TokenShardError(
                f'The token shard {entry.shard} cannot be read any more ({error}). Check the store with: '
                f'python tools/tokens.py verify {self.folder}'
            ) from error
        if checksum(tokens) != expected:
            raise TokenShardError(
                f'The token shard {entry.shard} was altered: the tokens of {entry.video!r} do not have their checksum. '
                f'Remove it with: python tools/tokens.py prune {self.folder} --broken, and run the extraction again.'
            )
        return tokens

    def _file(self, shard: Path) -> object:
        """The open shard; as many are kept open as a bounded address space holds, and none across a fork."""
        if self._process != os.getpid():
            self._files, self._process = OrderedDict(), os.getpid()
        if shard not in self._files:
            self._files[shard] = open_shard(shard)
            while len(self._files) > max(1, OPEN_BYTES // shard.stat().st_size):
                self._files.popitem(last=False)
        self._files.move_to_end(shard)
        return self._files[shard]

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_files': OrderedDict()}
