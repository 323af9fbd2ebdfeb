"""Puts tokens of videos into a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .atomic_file import FULL
from .fingerprint import Fingerprint
from .token_manifest import TokenManifest
from .token_shard import write_shard


class TokenWriter:
    """Collects videos and writes them shard by shard; any number of writers may fill one store.

    Use it as a context manager: what has been collected is written at the end, also after an error. A kill loses
    only the shard that is being collected.

    Args:
        folder: The store; made if it is not there.
        identity: What the tokens are made from (see :class:`TokenManifest`).
        shard_bytes: Write a shard when it has reached this size.
        shard_videos: Write a shard when it has reached this number of videos.

    Raises:
        TokenStoreMismatchError: If the folder holds a store that was made from something else.
    """

    def __init__(
        self, folder: str | Path, identity: Mapping, *, shard_bytes: int = 1 << 28, shard_videos: int = 256
    ) -> None:
        self.manifest = TokenManifest.create(folder, identity)
        self.shard_bytes, self.shard_videos = shard_bytes, shard_videos
        self.written_videos = 0
        self.dtype = getattr(torch, identity['dtype'])
        self._videos: list[tuple[str, Fingerprint, Tensor, Mapping[str, Tensor]]] = []
        self._bytes = 0

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not (isinstance(error, OSError) and error.errno in FULL):
            self.flush()

    def add(self, video: str, fingerprint: Fingerprint, visual: Tensor, textual: Mapping[str, Tensor]) -> None:
        """Take one video.

        Args:
            video: Its name, relative to the dataset's prefix.
            fingerprint: Of the content that was encoded.
            visual: ``[T, P, D]``.
            textual: Prompt -> ``[L, D]``, valid tokens only.
        """
        # A slice of a batch would keep the whole batch alive.
        visual, *texts = (tokens.to('cpu', self.dtype, copy=True) for tokens in (visual, *textual.values()))
        self._videos.append((video, fingerprint, visual, dict(zip(textual, texts))))
        self._bytes += sum(tokens.nbytes for tokens in (visual, *texts))
        if self._bytes >= self.shard_bytes or len(self._videos) >= self.shard_videos:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected.

        Raises:
            OSError: If it cannot be written; the store stays readable.
        """
        if not self._videos:
            return
        try:
            write_shard(self.manifest.folder, self.manifest.store_id, self._videos)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise OSError(
                error.errno,
                f'{error.strerror}; it goes on where it stopped. The {self.written_videos} videos that were written '
                'before are safe and the store can be read',
                error.filename,
            ) from error
        self.written_videos += len(self._videos)
        self._videos, self._bytes = [], 0
