"""CLIP-M2DF's choice of a prompt for a query, whose class is not known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import cosine

SELECTIONS = ('sample', 'argmax', 'expectation')


@MODELS.register_module()
class ProbabilityPromptSelector(BaseModule):
    """Takes the text of one class of the episode as the prompt of a query, by its similarity to the query's frames.

    ``v[q,n]`` is the mean of the ``top_frames`` largest cosines between frames and class text and
    ``pi = softmax(scale v)``; the prompt is the text of a class drawn from ``pi`` [C]. The query's own label plays no
    part.

    Args:
        scale: Sharpness of ``pi``.
        top_frames: Frames that count; a shorter video counts with all of its own.
        selection: In training: ``'sample'`` draws from ``pi``, ``'argmax'`` takes the most probable class,
            ``'expectation'`` the mean text under ``pi``.
        test_selection: The same in evaluation. A sample then depends on ``seed`` and on the place of the query in its
            episode alone.
        seed: Of samples in evaluation.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        *,
        scale: float = 200.0,
        top_frames: int = 4,
        selection: str = 'sample',
        test_selection: str = 'argmax',
        seed: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        for name, value in dict(selection=selection, test_selection=test_selection).items():
            if value not in SELECTIONS:
                raise ValueError(f'ProbabilityPromptSelector: {name} must be one of {SELECTIONS}, but is {value!r}.')
        if top_frames < 1:
            raise ValueError(f'ProbabilityPromptSelector: top_frames must be at least 1, but is {top_frames}.')
        self.scale = scale
        self.top_frames = top_frames
        self.selection = selection
        self.test_selection = test_selection
        self.seed = seed

    def forward(self, query: Tensor, texts: Tensor) -> Tensor:
        """Choose a prompt for each query.

        Args:
            query: Frames ``[B, Q, T, D]``.
            texts: Class texts ``[B, N, D]``.

        Returns:
            ``[B, Q, D]``.
        """
        weights = self.probabilities(query, texts)
        selection = self.selection if self.training else self.test_selection
        if selection != 'expectation':
            chosen = weights.argmax(-1) if selection == 'argmax' else self._draw(weights)
            weights = F.one_hot(chosen, texts.shape[1])
        with torch.autocast(texts.device.type, enabled=False):  # a chosen text comes out as it is
            return einsum(weights.to(texts.dtype), texts, 'b q n, b n d -> b q d')

    def probabilities(self, query: Tensor, texts: Tensor) -> Tensor:
        """``pi``, ``[B, Q, N]``."""
        cosines = cosine(rearrange(query, 'b q t d -> b (q t) d'), texts)
        cosines = rearrange(cosines, 'b (q t) n -> b q n t', t=query.shape[2])
        nearest = cosines.topk(min(self.top_frames, cosines.shape[-1]), dim=-1).values
        return (self.scale * nearest.mean(-1)).softmax(-1)

    def _draw(self, probabilities: Tensor) -> Tensor:
        """One class of each query ``[B, Q]``, by inverting the cumulative distribution."""
        if self.training:
            uniform = torch.rand_like(probabilities[..., 0])
        else:
            # The same numbers for every episode: what is drawn does not depend on the episodes of the batch.
            generator = torch.Generator().manual_seed(self.seed)
            uniform = torch.rand(probabilities.shape[1], generator=generator).to(probabilities)
        # The last class needs no comparison: it is what is left, whatever rounding does to the sum.
        return (probabilities.cumsum(-1)[..., :-1] <= uniform[..., None]).sum(-1)
