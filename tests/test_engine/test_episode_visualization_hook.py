"""Which frames of which videos the pictures of episodes show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.runner import TestLoop as LoopOverEpisodes

from fsar_llava.engine.hooks import EpisodeVisualizationHook, episode_visualization_hook
from fsar_llava.engine.hooks.episode_visualization_hook import middle_frame
from fsar_llava.engine.loops import FeatureBankTestLoop
from tests.factories import episode_samples

SIZES = dict(num_ways=2, num_shots=1, num_queries=1)


def test_each_episode_of_a_batch_gets_its_own_videos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = {}

    class Figure:
        def savefig(self, path: Path, **kwargs: object) -> None:
            drawn[path.name] = self.shades

    def draw(frames: list, data_samples: list, result: ActionDataSample) -> Figure:
        assert {sample.metainfo['episode_id'] for sample in data_samples} == {result.metainfo['episode_id']}
        figure = Figure()
        figure.shades = [int(frame.max()) for frame in frames]
        return figure

    monkeypatch.setattr(episode_visualization_hook, 'draw_episode', draw)
    samples = [sample for number in (1, 2, 4) for sample in episode_samples(**SIZES, episode_id=number)]
    videos = [torch.full((3, 3, 2, 2), shade) for shade in range(len(samples))]
    results = [ActionDataSample(metainfo=dict(episode_id=number)) for number in (1, 2, 4)]
    hook = EpisodeVisualizationHook(enable=True, interval=2, out_dir=str(tmp_path))
    hook.after_test_iter(None, 0, dict(inputs=videos, data_samples=samples), results)
    assert drawn == {'episode_00002.png': [4, 5, 6, 7], 'episode_00004.png': [8, 9, 10, 11]}


def test_stored_tokens_have_no_pictures() -> None:
    batch = dict(inputs=dict(visual=[], prompts=[]), data_samples=[])
    with pytest.raises(TypeError, match='need the frames'):
        EpisodeVisualizationHook(enable=True).after_test_iter(None, 0, batch, [])
    EpisodeVisualizationHook().after_test_iter(None, 0, batch, [])


def test_a_loop_without_episodes_is_refused() -> None:
    runner = SimpleNamespace(test_loop=object.__new__(FeatureBankTestLoop))
    EpisodeVisualizationHook().before_test(runner)
    with pytest.raises(TypeError, match=r'test_cfg\.type=TestLoop'):
        EpisodeVisualizationHook(enable=True).before_test(runner)
    EpisodeVisualizationHook(enable=True).before_test(SimpleNamespace(test_loop=object.__new__(LoopOverEpisodes)))


@pytest.mark.parametrize('layout', ['[T, C, H, W]', '[n, C, T, H, W]'])
def test_the_middle_frame(layout: str) -> None:
    video = torch.arange(5.0)[:, None, None, None] * 60 + torch.arange(3.0)[:, None, None].expand(5, 3, 4, 6)
    if layout == '[n, C, T, H, W]':
        video = video.transpose(0, 1)[None]
    frame = middle_frame(video)
    assert frame.shape == (4, 6, 3)
    assert frame[0, 0].tolist() == [120, 121, 122]
    assert middle_frame(video + 136)[0, 0].tolist() == [255, 255, 255]
