from __future__ import annotations

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS
from mmengine.dataset import Compose

from fsar_llava.datasets.transforms import WarnShortVideo, warn_short_video
from tests.conftest import load_tool


@pytest.fixture
def messages(monkeypatch):
    found = []
    monkeypatch.setattr(warn_short_video, 'print_log', lambda message, **kwargs: found.append(message))
    return found


def clip(num_frames, test_mode):
    """The pipeline of the field: T = 8 frames, sampled from as many segments."""
    return Compose(
        [
            dict(type='DecordInit'),
            dict(type='WarnShortVideo', num_frames=8),
            dict(type='SampleFrames', clip_len=1, num_clips=8, test_mode=test_mode, keep_tail_frames=True),
            dict(type='DecordDecode'),
            dict(type='FormatShape', input_format='NCHW'),
        ]
    )


def write(path, num_frames):
    """Frame i is a grey of 20 i."""
    frames = np.full((num_frames, 32, 32, 3), 20, np.uint8) * np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    load_tool('tools/data/make_toy_videos.py').write_video(path, frames)
    return dict(filename=str(path), start_index=0, modality='RGB')


@pytest.mark.parametrize('test_mode', [True, False])
@pytest.mark.parametrize('num_frames', [1, 2, 3, 4, 5, 7])
def test_short_videos_are_sampled_with_repetition(tmp_path, messages, test_mode, num_frames):
    info = write(tmp_path / 'short.mp4', num_frames)
    imgs = clip(num_frames, test_mode)(info)['imgs']
    assert imgs.shape == (8, 3, 32, 32)
    order = np.round(imgs.mean((1, 2, 3)) / 20).astype(int)
    assert set(order) == set(range(num_frames)) if test_mode else set(order) <= set(range(num_frames))
    assert (np.diff(order) >= 0).all()
    assert messages == [
        f'{info["filename"]} has {num_frames} frame(s), fewer than the 8 that are sampled; frames are repeated.'
    ]


def test_each_file_is_reported_once(messages):
    warn = WarnShortVideo(num_frames=8)
    for name, total in [('a.mp4', 3), ('b.mp4', 8), ('a.mp4', 3), ('c.mp4', 7), ('c.mp4', 7), ('b.mp4', 80)]:
        results = dict(filename=name, total_frames=total)
        assert warn(results) is results
    assert [message.split()[0] for message in messages] == ['a.mp4', 'c.mp4']


def test_raw_frames(messages):
    WarnShortVideo(8)(dict(frame_dir='frames/a', total_frames=2))
    assert messages[0].startswith('frames/a has 2 frame(s)')


def test_a_video_without_a_number_of_frames_is_refused(tmp_path, messages):
    av = pytest.importorskip('av')
    path = tmp_path / 'clip.mkv'
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('mpeg4', rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        for value in range(24):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * value, np.uint8), format='rgb24')
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    info = dict(filename=str(path), start_index=0, modality='RGB')
    with pytest.raises(ValueError, match=r'clip.mkv is said to have 0 frames.*use DecordInit'):
        Compose([dict(type='PyAVInit'), dict(type='WarnShortVideo', num_frames=8)])(info)
    assert messages == []


def test_registered():
    assert repr(TRANSFORMS.build(dict(type='WarnShortVideo', num_frames=4))) == 'WarnShortVideo(num_frames=4)'
