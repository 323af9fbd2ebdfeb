"""Auxiliary classification of each video over the texts of all meta-train classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.models.layers import cosine
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class ClassTextSupervision(BaseModule):
    """Adds a cross-entropy of ``scale * cos(video, class text)`` over all classes of meta-training; changes no feature.

    CLIP-FSAR averages all frames of a video, CLIP-M2DF those that are nearest to a text [C]. They are chosen for each
    text anew [R]; public code chooses once, by the text of the video's own class (of a query: the nearest one).

    In evaluation the neck does nothing: it reads class names for its loss only.

    Args:
        text_encoder: Config of a :class:`CLIPTextEncoder`, of the backbone's weights.
        classes: Class names, or a text file with one a line; read when they are needed, that is in training.
        ann_file: The list of the training videos, whose last fields are labels. For ``classes`` that name the classes
            of all splits by label: those without a training video are left out. None takes every class.
        delimiter: Between the fields of ``ann_file``.
        template: Text of a class, with ``{class_name}``.
        scale: Factor of the cosines; the public codes learn it from 1.0, from where it hardly moves.
        top_frames: None compares the mean of the frames, a number the mean of that many frames nearest to the text.
        loss_weight: Factor of the loss; a weight of 0 keeps the neck from computing it.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        text_encoder: dict,
        classes: Sequence[str] | str,
        *,
        ann_file: str | None = None,
        delimiter: str = ' ',
        template: str = 'a photo of {class_name}',
        scale: float = 1.0,
        top_frames: int | None = None,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if top_frames is not None and top_frames < 1:
            raise ValueError(
                f'ClassTextSupervision: top_frames must be at least 1, or None for the mean frame, but is {top_frames}.'
            )
        if '{class_name}' not in template:
            raise ValueError(
                'ClassTextSupervision: template must contain {class_name}, or all classes have the same text, but is '
                f'{template!r}.'
            )
        self.text_encoder = MODELS.build(text_encoder)
        self.sources = (classes, ann_file, delimiter)
        self.template = template
        self.scale = scale
        self.top_frames = top_frames
        self.loss_weight = loss_weight

    @cached_property
    def classes(self) -> dict[str, int]:
        """The classes of meta-training and their numbers.

        Raises:
            FileNotFoundError: If a file does not exist.
            ValueError: If there are no classes, or a class twice, or the files do not fit together.
        """
        classes, ann_file, delimiter = self.sources
        names = _lines(classes) if isinstance(classes, str) else list(classes)
        if ann_file is not None:
            names = _trained_names(names, ann_file, delimiter)
        numbers = {name: number for number, name in enumerate(names)}
        if not numbers or len(numbers) != len(names):
            raise ValueError(f'ClassTextSupervision needs distinct class names, but got {len(names)}: {names[:5]} ...')
        return numbers

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
        texts = texts.to(visual.device)
        if self.top_frames is None:
            return self.scale * cosine(visual.mean(1), texts)
        similarity = cosine(visual, texts)
        nearest = similarity.topk(min(self.top_frames, similarity.shape[1]), dim=1).indices
        videos = torch.arange(len(visual), device=visual.device)[:, None, None]
        means = visual[videos, nearest].mean(1)  # [V, C, D]
        return self.scale * cosine(means[:, :, None], texts[:, None])[..., 0, 0]

    def _label(self, class_name: str) -> int:
        if class_name not in self.classes:
            raise ValueError(
                f'ClassTextSupervision: the video is of class {class_name!r}, which is not among the '
                f'{len(self.classes)} classes of meta-training, {list(self.classes)[:3]} ... Correct the config.'
            )
        return self.classes[class_name]


def _lines(path: str) -> list[str]:
    """Lines of a text file that are not empty."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'ClassTextSupervision: there is no file {path!r}; correct classes or ann_file.')
    return [line.strip() for line in Path(path).read_text(encoding='utf-8-sig').splitlines() if line.strip()]


def _trained_names(names: Sequence[str], ann_file: str, delimiter: str) -> list[str]:
    """Those of the names by label that occur in a list of videos."""
    fields = {line.rsplit(delimiter, 1)[-1] for line in _lines(ann_file)}
    wrong = sorted(field for field in fields if not field.isdigit() or int(field) >= len(names))
    if wrong:
        raise ValueError(
            f'ClassTextSupervision: {ann_file} has the label {wrong[0]!r}, but the labels of {len(names)} classes are '
            f'0 to {len(names) - 1}. Check ann_file, its delimiter (now {delimiter!r}) and classes.'
        )
    return [names[label] for label in sorted(map(int, fields))]
