"""The neck that training-free comparisons need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from einops import reduce
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers.masking import fill_padding
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class Centering(BaseModule):
    """Averages the patches of each frame and subtracts the mean token, modality by modality. Nothing is trained.

    Tokens of a decoder share a large part that says nothing about the video, and cosines see little else before it is
    gone. The means are those of the meta-training videos, never of the videos that are tested: :meth:`fit` finds them,
    checkpoints carry them.

    Args:
        in_channels: D, the width of the backbone's tokens.
        init_cfg: As for every mmengine module.

    Attributes:
        visual_mean: Buffer ``[D]``, zero before :meth:`fit`.
        textual_mean: Buffer ``[D]``, the same for text.
    """

    visual_mean: Tensor
    textual_mean: Tensor

    def __init__(self, in_channels: int, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.register_buffer('visual_mean', torch.zeros(in_channels))
        self.register_buffer('textual_mean', torch.zeros(in_channels))

    def forward(
        self, feats: VideoFeatures, data_samples: Sequence[ActionDataSample] | None = None
    ) -> tuple[VideoFeatures, dict]:
        """Centre the tokens of V videos.

        Args:
            feats: visual ``[V, T, P, D]`` or ``[V, T, D]``; textual ``[V, L, D]`` or None.
            data_samples: Not used; for MMAction2's interface.

        Returns:
            visual ``[V, T, D]`` and textual ``[V, L, D]`` (zero at padded positions) or None; and no losses.

        Raises:
            TypeError: If ``feats`` are not :class:`VideoFeatures`.
            ValueError: If their shape or width is not the expected one.
        """
        self._check(feats)
        visual = _frames(feats) - self.visual_mean
        if feats.textual is None:
            return VideoFeatures(visual), {}
        textual = fill_padding(feats.textual - self.textual_mean, feats.textual_mask)
        return VideoFeatures(visual, textual, feats.textual_mask), {}

    @torch.no_grad()
    def fit(self, features: Iterable[VideoFeatures]) -> Centering:
        """Set the means to those of some videos, which are looked at once and not kept.

        Args:
            features: Batches of any size, as :meth:`forward` takes them. The visual mean is over all frames, the
                textual one over all valid tokens; it stays as it is where no batch has text.

        Returns:
            The neck itself.

        Raises:
            ValueError: If there is no video, or a batch has another width.
        """
        sums = torch.zeros(2, self.in_channels, dtype=torch.float64, device=self.visual_mean.device)
        counts = [0, 0]
        for feats in features:
            self._check(feats)
            tokens = [_frames(feats.replace(visual=feats.visual.double())).flatten(0, 1)]
            if feats.textual is not None:
                tokens.append(feats.textual[feats.textual_mask].double())
            for modality, found in enumerate(tokens):
                sums[modality] += found.sum(0).to(sums.device)
                counts[modality] += len(found)
        if not counts[0]:
            raise ValueError('Centering: there is no video to take the mean of. Pass features of the training videos.')
        for mean, total, count in zip((self.visual_mean, self.textual_mean), sums, counts):
            if count:
                mean.copy_(total / count)
        return self

    def _check(self, feats: VideoFeatures) -> None:
        if not isinstance(feats, VideoFeatures):
            raise TypeError(
                f'Centering takes VideoFeatures, as VideoMLLMBackbone gives them, but got {type(feats).__name__}.'
            )
        shapes = [list(tokens.shape) for tokens in (feats.visual, feats.textual) if tokens is not None]
        if feats.visual.ndim not in (3, 4) or {shape[-1] for shape in shapes} != {self.in_channels}:
            raise ValueError(
                f'Centering(in_channels={self.in_channels}) takes tokens [V, T, P, D] or [V, T, D], and [V, L, D] of '
                f"text, with D = {self.in_channels}, but got {shapes}. Set in_channels to the backbone's width."
            )


def _frames(feats: VideoFeatures) -> Tensor:
    """``[V, T, D]``."""
    return feats.visual if feats.visual.ndim == 3 else reduce(feats.visual, 'v t p d -> v t d', 'mean')
