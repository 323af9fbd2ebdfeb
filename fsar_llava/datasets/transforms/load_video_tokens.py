"""Tokens from a store instead of frames from a video."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from torch import Tensor
from torch.utils.data import get_worker_info

from fsar_llava.datasets.annotations import segment
from fsar_llava.features import TokenStore
from fsar_llava.features.token_shard import VideoTokensOnDisk
from fsar_llava.models.backbones.stored_tokens import prompt_table


@TRANSFORMS.register_module()
class LoadVideoTokens(BaseTransform):
    """Reads the tokens of a video from a token store; the whole rest of such a pipeline is
    ``dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts'))``.

    An :class:`EpisodicDataset` tells which video it is (``video_name``). Of other datasets only the path is known: a
    video that was not extracted gets the tokens of one whose name its path ends in (see :meth:`TokenStore.find`).

    No video is opened. Where the video file is there, it is made sure that it is still the one that was encoded.
    The model needs a :class:`StoredTokens` backbone.

    Args:
        store: Folder of the token store.
        expect: What the store must have been made from: any fields of its identity, nested, such as
            ``dict(backbone=dict(layer=16, grid=4), prompts=[...], pipeline=[...], dtype='bfloat16')``.
        check_content: Compare each video file, where there is one, with the content that was encoded. Size and time
            of change are compared; a file with another time is read, once by every loading process. Of a folder of
            frames, compare their number in the list too.
        keep_bytes: How many bytes of tokens a process that loads without workers keeps in memory, those that it read
            first; 0 for none. They are handed out again and again: what comes after this transform must not change
            them in place. Workers keep none.

    Raises:
        TokenStoreMismatchError: If a field of ``expect`` differs from the store's.
        TokenShardError: If the store is damaged.
    """

    def __init__(
        self, store: str, *, expect: Mapping | None = None, check_content: bool = True, keep_bytes: int = 1 << 28
    ) -> None:
        self.store = TokenStore(store, expect=expect)
        self.check_content = check_content
        self.keep_bytes = keep_bytes
        self._checked: set[str] = set()
        self._kept: dict[str, dict[str, Tensor]] = {}
        self._room = keep_bytes

    def transform(self, results: dict) -> dict:
        """Add ``visual [T, P, D]``, ``textual [*, D]`` and ``prompts [1 + R, 3]`` (see :func:`prompt_table`)."""
        path = results.get('filename') or results['frame_dir']
        name = results.get('video_name')
        entry = self.store.find(path + segment(results)) if name is None else self.store.entry(name)
        tokens = self._kept.get(entry.video)
        if tokens is None:
            tokens = self._read(entry, path, results.get('total_frames'))
            self._keep(entry.video, tokens)
        results.update(tokens)
        return results

    def _read(self, entry: VideoTokensOnDisk, path: str, total_frames: int | None) -> dict[str, Tensor]:
        if self.check_content and entry.video not in self._checked:
            self.store.check_content(entry, path, total_frames)
            self._checked.add(entry.video)
        visual, textual = self.store.read_entry(entry)
        return dict(
            visual=visual,
            textual=torch.cat(list(textual.values())) if textual else visual.new_zeros(0, visual.shape[-1]),
            prompts=prompt_table(self.store.manifest.store_id, textual),
        )

    def _keep(self, video: str, tokens: dict[str, Tensor]) -> None:
        if get_worker_info() is not None:
            return  # a tensor that a worker hands over becomes shared memory, an open file for as long as it is kept
        size = sum(tensor.nbytes for tensor in tokens.values())
        if size <= self._room:
            # Copies: what was read may still be the file's own memory, which changes with the file.
            self._kept[video] = {name: tensor.clone() for name, tensor in tokens.items()}
            self._room -= size

    def __getstate__(self) -> dict:
        """Without tokens: processes read their own."""
        return {**self.__dict__, '_kept': {}, '_room': self.keep_bytes}

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(store={str(self.store.folder)!r}, check_content={self.check_content}, '
            f'keep_bytes={self.keep_bytes})'
        )
