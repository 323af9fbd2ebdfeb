"""Takes stored tokens to the device of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from fsar_llava.structures import TokenBatch


@MODELS.register_module()
class TokenDataPreprocessor(BaseDataPreprocessor):
    """Takes the tokens of a batch of videos to the device, all videos at once.

    mmengine's own takes every tensor of every video, and of its data sample, by itself. Tokens need no normalisation,
    and the data samples stay where they are: no head of this package reads tensors from them, and those of MMAction2
    take the labels to the device themselves.

    Args:
        non_blocking: Whether the copy may go on while the host does other things; for pinned memory.
    """

    def forward(self, data: Mapping, training: bool = False) -> dict:
        """Join the tokens of V videos.

        Args:
            data: ``inputs`` as :class:`LoadVideoTokens`, ``PackActionInputs`` and the collate function leave them: of
                each video ``visual [T, P, D]``, ``textual [*, D]`` and ``prompts [1 + R, 3]``; and ``data_samples``.
            training: Not used; for mmengine's interface.

        Returns:
            The same, with a :class:`TokenBatch` as ``inputs``.

        Raises:
            TypeError: If the inputs are no tokens.
            ValueError: If the videos differ in T, P or D.
        """
        inputs = data['inputs']
        if not isinstance(inputs, Mapping):
            raise TypeError(
                f'TokenDataPreprocessor takes what LoadVideoTokens reads, but got a {type(inputs).__name__}. Use '
                "pipeline=[dict(type='LoadVideoTokens', store=...), dict(type='PackActionInputs', "
                "collect_keys=('visual', 'textual', 'prompts'))], or for videos "
                "data_preprocessor=dict(type='ActionDataPreprocessor', ...)."
            )
        shapes = {tuple(tokens.shape) for tokens in inputs['visual']}
        if len(shapes) > 1:
            raise ValueError(
                f'The videos of a batch must have equally many frames, patches and channels, but there are visual '
                f'tokens of the shapes [T, P, D] = {sorted(shapes)}. Read them from one token store.'
            )
        visual, textual = torch.stack(list(inputs['visual'])), torch.cat(list(inputs['textual']))
        tokens = TokenBatch(
            visual.to(self.device, non_blocking=self._non_blocking),
            textual.to(self.device, non_blocking=self._non_blocking),
            _join_tables(inputs['prompts'], [len(part) for part in inputs['textual']]),
        )
        return dict(data, inputs=tokens)


def _join_tables(tables: Sequence[Tensor], lengths: Sequence[int]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """Rows ``(id, begin, end)`` of V videos, counted from the first token of all videos instead of each its own."""
    rows = iter(torch.cat(list(tables)).tolist())
    joined, start = [], 0
    for table, length in zip(tables, lengths):
        own = [next(rows) for _ in range(len(table))]
        joined.append(tuple((prompt, start + begin, start + end) for prompt, begin, end in own))
        start += length
    return tuple(joined)
