"""Features of videos, each in all the variants that are needed, from any recognizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.structures import ActionDataSample
from torch import Tensor, nn

from fsar_llava.structures import VideoFeatures, as_video_features

from .video_variants import Stamp

NECK_ROWS = 128
"""Variants that go through the neck at a time: many prompts of a video share its backbone pass, but not the neck's.

With all 256 patches of a frame these are 32,768 sequences over time; fused attention on CUDA takes up to 65,535.
"""


def encode_videos(model: nn.Module, batch: dict, stamps: Sequence[Sequence[Stamp]]) -> VideoFeatures:
    """Run the backbone once for each video, and the neck once for each variant.

    Args:
        model: A recognizer, MMAction2's own or :class:`FewShotRecognizer`.
        batch: V videos as the dataloader collates them.
        stamps: For each video its variants, R in all.

    Returns:
        ``visual [R, T, D]``, and ``textual [R, L, D]`` where the model reads prompts.
    """
    data = model.data_preprocessor(batch, False)
    inputs, samples = data['inputs'], _stamp(data['data_samples'], stamps)
    video_index = [video for video, variants in enumerate(stamps) for _ in variants]
    if not hasattr(model, 'prompts'):  # as BaseRecognizer.predict does it
        features, _ = model.extract_feat(inputs, test_mode=True)
        return as_video_features(features, len(stamps))[torch.tensor(video_index)]
    prompts = model.prompts(samples)
    if not hasattr(model.backbone, 'encode') or None in prompts:
        features, _ = model.extract_feat(inputs[video_index], data_samples=samples, test_mode=True)
        return as_video_features(features, len(samples))
    asked = iter(prompts)
    tokens = model.backbone.encode(inputs, [[next(asked) for _ in variants] for variants in stamps])
    parts = []
    for begin in range(0, len(samples), NECK_ROWS):
        rows = slice(begin, begin + NECK_ROWS)
        part = VideoFeatures(tokens.visual[tokens.video_index[rows]], tokens.textual[rows], tokens.textual_mask[rows])
        part = part.float()
        if model.with_neck:
            part, _ = model.neck(part, data_samples=samples[rows])
        parts.append(as_video_features(part, len(samples[rows])))
    return VideoFeatures(*(torch.cat(tensors) for tensors in zip(*map(_tensors, parts))))


def _tensors(features: VideoFeatures) -> tuple[Tensor, ...]:
    everything = (features.visual, features.textual, features.textual_mask)
    return tuple(tensor for tensor in everything if tensor is not None)


def _stamp(samples: Sequence[ActionDataSample], stamps: Sequence[Sequence[Stamp]]) -> list[ActionDataSample]:
    """A sample for each variant of each video."""
    stamped = []
    for sample, variants in zip(samples, stamps, strict=True):
        for stamp in variants:
            copy = sample.clone()
            copy.set_metainfo(dict(stamp))
            stamped.append(copy)
    return stamped
