"""Tokens from a store instead of frames from a video."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from fsar_llava.features import TokenStore
from fsar_llava.models.backbones.stored_tokens import prompt_table


@TRANSFORMS.register_module()
class LoadVideoTokens(BaseTransform):
    """Reads the tokens of a video from a token store; the whole rest of such a pipeline is
    ``dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts'))``.

    No video is opened. Where the video file is there, it is made sure that it is still the one that was encoded.
    The model needs a :class:`StoredTokens` backbone.

    Args:
        store: Folder of the token store.
        expect: What the store must have been made from: any fields of its identity, nested, such as
            ``dict(backbone=dict(layer=16, grid=4), prompts=[...], pipeline=[...], dtype='bfloat16')``.
        check_content: Compare each video file, where there is one, with the content that was encoded. Size and time
            of change are compared; a file with another time is read once.

    Raises:
        TokenStoreMismatchError: If a field of ``expect`` differs from the store's.
        TokenShardError: If the store is damaged.
    """

    def __init__(self, store: str, *, expect: Mapping | None = None, check_content: bool = True) -> None:
        self.store = TokenStore(store, expect=expect)
        self.check_content = check_content
        self._checked: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Add ``visual [T, P, D]``, ``textual [*, D]`` and ``prompts [R, 3]`` (see :class:`StoredTokens`)."""
        path = results.get('filename') or results['frame_dir']
        entry = self.store.find(path)
        if self.check_content and entry.video not in self._checked:
            self.store.check_content(entry, path)
            self._checked.add(entry.video)
        visual, textual = self.store.read(entry.video)
        results['visual'] = visual
        results['textual'] = torch.cat(list(textual.values())) if textual else visual.new_zeros(0, visual.shape[-1])
        results['prompts'] = prompt_table(self.store.manifest.store_id, textual)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(store={str(self.store.folder)!r}, check_content={self.check_content})'
