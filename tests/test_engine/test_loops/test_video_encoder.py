"""Variants of videos that go through the neck in several portions, and what makes a variant."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from mmaction.structures import ActionDataSample
from torch import Tensor, nn

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops import video_encoder
from fsar_llava.engine.loops.video_variants import VideoVariants
from fsar_llava.models.prompts import build_prompts


class Backbone(nn.Module):
    """Each video is full of its pixel, each text of its number."""

    def encode(self, inputs: Tensor, prompts: Sequence[Sequence[str]]) -> SimpleNamespace:
        index = [video for video, texts in enumerate(prompts) for _ in texts]
        textual = torch.tensor([float(text) for texts in prompts for text in texts])[:, None, None].expand(-1, 2, 4)
        return SimpleNamespace(
            visual=inputs[:, None, None].expand(-1, 3, 4),
            textual=textual,
            textual_mask=torch.ones(len(textual), 2, dtype=torch.bool),
            video_index=torch.tensor(index),
        )


class Neck(nn.Module):
    """Adds to the frames what the sample of the video says."""

    def forward(
        self, feats: VideoFeatures, data_samples: Sequence[ActionDataSample]
    ) -> tuple[VideoFeatures, dict[str, Tensor]]:
        added = torch.tensor([sample.metainfo['added'] for sample in data_samples])
        return feats.replace(visual=feats.visual + added[:, None, None]), {}


@pytest.mark.parametrize('rows', [1, 2, 3, 4, 256])
def test_portions_of_the_neck_change_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(video_encoder, 'NECK_ROWS', rows)
    model = SimpleNamespace(
        data_preprocessor=lambda data, training: data,
        prompts=lambda samples: [sample.metainfo['prompt'] for sample in samples],
        backbone=Backbone(),
        with_neck=True,
        neck=Neck(),
    )
    batch = dict(inputs=torch.tensor([100.0, 200, 300]), data_samples=[ActionDataSample() for _ in range(3)])
    stamps = [
        [dict(prompt=str(10 * v + k), added=10 * v + k) for k in range(count)] for v, count in enumerate((3, 1, 2))
    ]
    found = video_encoder.encode_videos(model, batch, stamps)
    numbers = torch.tensor([0.0, 1, 2, 10, 20, 21])
    assert torch.equal(found.visual[:, 0, 0], torch.tensor([100.0, 100, 100, 200, 300, 300]) + numbers)
    assert torch.equal(found.textual[:, 0, 0], numbers)
    assert found.textual_mask.shape == (6, 2)


def test_each_video_needs_its_stamps() -> None:
    batch = dict(inputs=torch.zeros(3, 1), data_samples=[ActionDataSample() for _ in range(3)])
    model = SimpleNamespace(
        data_preprocessor=lambda data, training: data,
        extract_feat=lambda inputs, test_mode: (torch.zeros(6, 4), {}),  # would make two videos of three
    )
    with pytest.raises(ValueError, match='shorter'):
        video_encoder.encode_videos(model, batch, [[dict(video_index=0)], [dict(video_index=1)]])


def stamp(role: str, names: tuple[str, ...]) -> dict:
    return dict(video_index=7, role=role, class_name='a', class_names=names)


@pytest.mark.parametrize(
    ('prompts', 'neck', 'expected'),
    [
        (None, False, [0, 0, 0, 0]),
        ('unknown', False, [0, 1, 0, 1]),
        ('known', False, [0, 1, 0, 2]),
        ('unknown', True, [0, 1, 2, 3]),
    ],
)
def test_variants_of_a_video(prompts: str | None, neck: bool, expected: list[int]) -> None:
    """As support and as query, of one episode and of another."""
    model = SimpleNamespace(backbone=nn.Identity(), neck=SimpleNamespace(episode_conditioned=neck))
    if prompts is not None:
        model.prompts = build_prompts(prompts)
    variants = VideoVariants(model)
    stamps = [stamp(role, names) for names in (('a', 'b'), ('a', 'c')) for role in ('support', 'query')]
    assert [variants.row(each) for each in stamps] == expected
    assert variants.num_videos == 1
    assert variants.take_new() == {7: sorted(set(expected))}
    assert variants.take_new() == {}
