"""Tokens of several videos joined, and what the stand-in of the backbone makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from fsar_llava.models.backbones.stored_tokens import prompt_table
from fsar_llava.structures import TokenBatch

FRAMES, PATCHES, CHANNELS = 4, 2, 6
STORE = 'store-id'


@pytest.fixture
def preprocessor() -> torch.nn.Module:
    return MODELS.build(dict(type='TokenDataPreprocessor'))


@pytest.fixture
def backbone(tmp_path: Path) -> torch.nn.Module:
    manifest = dict(store_id=STORE, identity=dict(backbone=dict(family='any'), prompts=['one', 'two']))
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    return MODELS.build(dict(type='StoredTokens', store=str(tmp_path)))


def videos(lengths: list[tuple[int, int]]) -> list[dict[str, torch.Tensor]]:
    """For each video its visual tokens and as many of the prompts 'one' and 'two' as told."""
    generator = torch.Generator().manual_seed(0)
    return [
        dict(
            visual=torch.randn(FRAMES, PATCHES, CHANNELS, generator=generator),
            **{name: torch.randn(n, CHANNELS, generator=generator) for name, n in zip(('one', 'two'), pair)},
        )
        for pair in lengths
    ]


def collated(tokens: list[dict[str, torch.Tensor]], store: str = STORE) -> dict:
    """As the pipeline and the collate function leave them."""
    textual = [{name: video[name] for name in ('one', 'two')} for video in tokens]
    return dict(
        inputs=dict(
            visual=[video['visual'] for video in tokens],
            textual=[torch.cat(list(texts.values())) for texts in textual],
            prompts=[prompt_table(store, texts) for texts in textual],
        ),
        data_samples=[ActionDataSample() for _ in tokens],
    )


def test_each_video_gets_the_tokens_of_its_prompt(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    tokens = videos([(3, 1), (2, 4), (5, 2)])
    data = collated(tokens)
    batch = preprocessor(data)
    assert isinstance(batch['inputs'], TokenBatch)
    assert batch['data_samples'] is data['data_samples']
    prompts = ['two', 'one', 'two']
    features = backbone(batch['inputs'], prompts)
    assert features.visual.shape == (3, FRAMES, PATCHES, CHANNELS)
    assert features.textual.shape == (3, 2, CHANNELS)  # the longest that is asked for
    for row, (prompt, video) in enumerate(zip(prompts, tokens)):
        assert torch.equal(features.visual[row], video['visual'])
        assert torch.equal(features.textual[row][features.textual_mask[row]], video[prompt])
        assert not features.textual[row][~features.textual_mask[row]].any()


def test_selected_videos_keep_their_tokens(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    tokens = videos([(3, 1), (2, 4), (5, 2)])
    batch = preprocessor(collated(tokens))['inputs'][[2, 2, 0]]
    features = backbone(batch, ['one', 'two', 'one'])
    for row, (video, prompt) in enumerate([(2, 'one'), (2, 'two'), (0, 'one')]):
        assert torch.equal(features.visual[row], tokens[video]['visual'])
        assert torch.equal(features.textual[row][features.textual_mask[row]], tokens[video][prompt])


def test_without_prompts_there_is_no_text(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    features = backbone(preprocessor(collated(videos([(3, 1), (2, 4)])))['inputs'], [None, None])
    assert features.textual is None
    assert len(features.visual) == 2


def test_a_prompt_that_the_store_lacks_is_named(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    batch = preprocessor(collated(videos([(3, 1)])))['inputs']
    with pytest.raises(KeyError, match=r"'three'.*run the extraction again"):
        backbone(batch, ['three'])


@pytest.mark.parametrize('prompt', ['one', None])
def test_tokens_of_another_store_are_refused(
    preprocessor: torch.nn.Module, backbone: torch.nn.Module, prompt: str | None
) -> None:
    batch = preprocessor(collated(videos([(3, 1)]), store='another'))['inputs']
    with pytest.raises(KeyError, match='LoadVideoTokens reads another store than the backbone'):
        backbone(batch, [prompt])


def test_one_video_of_another_store_is_refused(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    own, foreign = collated(videos([(3, 1)])), collated(videos([(3, 1)]), store='another')
    inputs = {name: own['inputs'][name] + foreign['inputs'][name] for name in own['inputs']}
    batch = preprocessor(dict(inputs=inputs, data_samples=own['data_samples'] * 2))['inputs']
    with pytest.raises(KeyError, match='LoadVideoTokens reads another store than the backbone'):
        backbone(batch, [None, None])


def test_frames_are_refused(preprocessor: torch.nn.Module, backbone: torch.nn.Module) -> None:
    with pytest.raises(TypeError, match=r'got a list.*ActionDataPreprocessor'):
        preprocessor(dict(inputs=[torch.zeros(8, 3, 4, 4)], data_samples=[ActionDataSample()]))
    with pytest.raises(TypeError, match=r'got a Tensor.*TokenDataPreprocessor'):
        backbone(torch.zeros(1, 8, 3, 4, 4), ['one'])


def test_videos_of_two_stores_are_refused(preprocessor: torch.nn.Module) -> None:
    tokens = videos([(3, 1), (2, 4)])
    tokens[1]['visual'] = tokens[1]['visual'][1:]
    with pytest.raises(ValueError, match=r'\[\(3, 2, 6\), \(4, 2, 6\)\]'):
        preprocessor(collated(tokens))
