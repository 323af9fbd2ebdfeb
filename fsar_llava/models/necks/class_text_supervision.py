"""Auxiliary classification of each video over the texts of all meta-train classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class ClassTextSupervision(BaseModule):
    """Adds a cross-entropy of ``scale * cos(video, class text)`` over all classes of meta-training; changes no feature.

    CLIP-FSAR averages the frames of a video, CLIP-M2DF the cosines of the frames that are nearest to the text [C].
    In evaluation the neck does nothing: it reads class names for its loss only.

    Args:
        text_encoder: Config of a :class:`CLIPTextEncoder`, of the backbone's weights.
        classes: The class names of meta-training, or a text file with one a line.
        template: Text of a class, with ``{class_name}``.
        scale: Factor of the cosines; the public codes learn it from 1.0, from where it hardly moves.
        top_frames: None compares the mean of the frames, a number the mean cosine of that many nearest frames.
        loss_weight: Factor of the loss; a weight of 0 keeps the neck from computing it.
        init_cfg: As for every mmengine module.

    Raises:
        FileNotFoundError: If ``classes`` names a file that does not exist.
        ValueError: If there are no classes, or a class twice.
    """

    def __init__(
        self,
        text_encoder: dict,
        classes: Sequence[str] | str,
        *,
        template: str = 'a photo of {class_name}',
        scale: float = 1.0,
        top_frames: int | None = None,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.classes = _read_classes(classes)
        self.template = template
        self.scale = scale
        self.top_frames = top_frames
        self.loss_weight = loss_weight

    def forward(
        self, feats: VideoFeatures, data_samples: Sequence[ActionDataSample] | None = None
    ) -> tuple[VideoFeatures, dict[str, Tensor]]:
        """Pass the features on, with the loss in training.

        Args:
            feats: visual ``[V, T, D]``.
            data_samples: V samples, stamped by :class:`EpisodicDataset`.

        Raises:
            ValueError: If a video's class is not among ``classes``.
        """
        if not self.training or not self.loss_weight:
            return feats, {}
        labels = torch.tensor([self._label(sample.class_name) for sample in data_samples], device=feats.visual.device)
        loss = F.cross_entropy(self.logits(feats.visual), labels)
        return feats, dict(loss_class_text=self.loss_weight * loss)

    def logits(self, visual: Tensor) -> Tensor:
        """``[V, T, D]`` to ``[V, C]`` for C classes."""
        texts = self.text_encoder([self.template.format(class_name=name) for name in self.classes])
        texts = F.normalize(texts.to(visual), dim=-1)
        if self.top_frames is None:
            return self.scale * (F.normalize(visual.mean(1), dim=-1) @ texts.T)
        similarity = F.normalize(visual, dim=-1) @ texts.T
        nearest = similarity.topk(min(self.top_frames, similarity.shape[1]), dim=1).values
        return self.scale * nearest.mean(1)

    def _label(self, class_name: str) -> int:
        if class_name not in self.classes:
            raise ValueError(
                f'ClassTextSupervision: the video is of class {class_name!r}, which is not among the '
                f'{len(self.classes)} classes of meta-training, {list(self.classes)[:3]} ... Correct the config.'
            )
        return self.classes[class_name]


def _read_classes(classes: Sequence[str] | str) -> dict[str, int]:
    """Class names to their numbers."""
    source = 'a list'
    if isinstance(classes, str):
        source = classes
        if not Path(classes).is_file():
            raise FileNotFoundError(
                f'ClassTextSupervision: there is no file {classes!r} with the class names, one a line.'
            )
        classes = [line.strip() for line in Path(classes).read_text(encoding='utf-8').splitlines() if line.strip()]
    numbers = {name: number for number, name in enumerate(classes)}
    if not numbers or len(numbers) != len(classes):
        raise ValueError(
            f'ClassTextSupervision needs distinct class names, but got {len(classes)} names from {source}.'
        )
    return numbers
