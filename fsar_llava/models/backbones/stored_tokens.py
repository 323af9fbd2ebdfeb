"""Stands in for a frozen backbone whose tokens were extracted before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import fill_padding
from fsar_llava.structures import TokenBatch, VideoFeatures


@MODELS.register_module()
class StoredTokens(BaseModule):
    """Gives the tokens that :class:`LoadVideoTokens` read as if the frozen backbone had run.

    Neither the MLLM nor a video decoder is needed. Its identity is that of the backbone that made the store, so that
    checkpoints trained from tokens and from videos are interchangeable, and a checkpoint of another backbone is
    refused. The model needs ``data_preprocessor=dict(type='TokenDataPreprocessor')``: the tokens were made from
    normalised frames.

    Args:
        store: Folder of the token store.
        init_cfg: Not used; for mmengine's base class.

    Raises:
        FileNotFoundError: If the folder is no token store.
    """

    def __init__(self, store: str, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.store = store
        path = Path(store) / 'manifest.json'
        if not path.is_file():
            raise FileNotFoundError(
                f'{store} is no token store: it holds no manifest.json. Make one with: python tools/extract_tokens.py '
                f'CONFIG --out {store}'
            )
        manifest = json.loads(path.read_text())
        self._identity, self._store_id = manifest['identity'], manifest['store_id']

    def identity(self) -> dict:
        """The identity of the backbone that made the tokens."""
        return dict(self._identity['backbone'])

    def forward(self, inputs: TokenBatch, prompts: Sequence[str | None]) -> VideoFeatures:
        """Features of V videos.

        Args:
            inputs: As :class:`TokenDataPreprocessor` joins them.
            prompts: V texts, or V times None for no textual tokens.

        Returns:
            ``visual [V, T, P, D]``, ``textual [V, L, D]`` (zero where masked), ``textual_mask [V, L]``.

        Raises:
            TypeError: If the inputs are no tokens.
            KeyError: If the tokens are of another store or were not extracted with a prompt.
        """
        if not isinstance(inputs, TokenBatch):
            raise TypeError(
                f'StoredTokens takes a TokenBatch, but got a {type(inputs).__name__}. Use '
                "pipeline=[dict(type='LoadVideoTokens', store=...), dict(type='PackActionInputs', "
                "collect_keys=('visual', 'textual', 'prompts'))] and "
                "data_preprocessor=dict(type='TokenDataPreprocessor')."
            )
        own = _number(self._store_id)
        if any(not rows or rows[0][0] != own for rows in inputs.prompts):
            raise KeyError(
                f'The tokens are not those of {self.store}: LoadVideoTokens reads another store than the backbone. '
                'Name the same store in both.'
            )
        if all(prompt is None for prompt in prompts):
            return VideoFeatures(inputs.visual)
        device = inputs.visual.device
        spans = [self._span(prompt, rows) for prompt, rows in zip(prompts, inputs.prompts)]
        begin, end = torch.tensor(spans, device=device).unbind(1)
        place = begin[:, None] + torch.arange(max(end - begin for begin, end in spans), device=device)
        mask = place < end[:, None]
        textual = fill_padding(inputs.textual[place.where(mask, 0)], mask)
        return VideoFeatures(inputs.visual, textual, mask)

    def _span(self, prompt: str | None, rows: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
        """Where the tokens of a prompt begin and end, from the rows of a video."""
        wanted = _number(self._store_id, prompt or '')
        for found, begin, end in rows:
            if found == wanted:
                return begin, end
        raise KeyError(
            f'The token store {self.store} was not extracted with the prompt {prompt!r}. It has the prompts '
            f'{self._identity["prompts"]}. Where this is one of them for another class, run the extraction again with '
            'this config; else set the prompts of the recognizer to these, or extract into another folder. Query '
            'prompts that list the classes of an episode cannot be stored: test them from videos, with '
            'FeatureBankTestLoop, or use prompts=dict(support=..., query=...) with a query prompt that is always the '
            'same.'
        )


def prompt_table(store_id: str, textual: Mapping[str, Tensor]) -> Tensor:
    """Rows ``(number, begin, end)`` of a video, ``[1 + R, 3]``, which can travel with the tensors of a batch.

    The first has the store's number, the others that of each of R prompts, and where its tokens begin and end in their
    concatenation.
    """
    return _prompt_table(store_id, tuple((prompt, len(tokens)) for prompt, tokens in textual.items()))


@lru_cache(maxsize=4096)
def _prompt_table(store_id: str, lengths: tuple[tuple[str, int], ...]) -> Tensor:
    rows, begin = [(_number(store_id), 0, 0)], 0
    for prompt, length in lengths:
        rows.append((_number(store_id, prompt), begin, begin + length))
        begin += length
    return torch.tensor(rows, dtype=torch.long)


@lru_cache(maxsize=4096)
def _number(*names: str) -> int:
    """64 bits for a store, or for a prompt in a store."""
    return int.from_bytes(hashlib.sha256(':'.join(names).encode()).digest()[:8], 'big', signed=True)
