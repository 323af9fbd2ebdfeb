from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from tests.conftest import load_tool

tool = load_tool('tools/data/make_toy_videos.py')
SMALL = dict(num_classes=4, videos_per_class=2, size=32, frames=6)


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob('*')
        if path.is_file()
    }


def read(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1])
    return np.array(frames)


def test_lists_agree_with_the_files(toy_videos):
    names = (toy_videos / 'classes.txt').read_text().splitlines()
    assert len(set(names)) == 20
    labels = {}
    for split, num_classes in dict(train=10, val=5, test=5).items():
        rows = [line.split('\t') for line in (toy_videos / f'{split}.txt').read_text().splitlines()]
        assert Counter(int(label) for _, label in rows).most_common()[0][1] == 6
        labels[split] = {int(label) for _, label in rows}
        assert len(labels[split]) == num_classes
        for path, label in rows:
            assert path.split('/')[0] == names[int(label)]
            assert (toy_videos / 'videos' / path).is_file()
    assert set.union(*labels.values()) == set(range(20))
    assert sum(map(len, labels.values())) == 20


def test_videos_are_real_and_move_as_their_class_says(toy_videos):
    frames = read(toy_videos / 'videos' / 'moving right' / '000.mp4').astype(float)
    assert frames.shape == (12, 64, 64, 3)
    contrast = np.abs(frames - np.median(frames, axis=(0, 1, 2))).sum(-1)
    contrast = np.where(contrast > 100, contrast, 0)
    column = (contrast.sum(1) * np.arange(64)).sum(-1) / contrast.sum((1, 2))
    row = (contrast.sum(2) * np.arange(64)).sum(-1) / contrast.sum((1, 2))
    assert (np.diff(column) > 0).all()
    assert column[-1] - column[0] > 28
    assert np.ptp(row) < 3


def command(out, *extra):
    settings = ['--num-classes', '4', '--videos-per-class', '2', '--size', '32', '--frames', '6']
    return ['--out', str(out), *settings, *extra]


def test_content_depends_on_the_seed_alone(tmp_path):
    one, two, other = (tmp_path / name for name in ('one', 'two', 'other'))
    tool.make_toy_videos(one, **SMALL)
    subprocess.run([sys.executable, tool.__file__, *command(two, '--workers', '2')], check=True)
    tool.make_toy_videos(other, seed=1, **SMALL)
    assert digests(one) == digests(two)
    videos = [name for name in digests(one) if name.endswith('.mp4')]
    assert len(videos) == 8
    assert all(digests(one)[name] != digests(other)[name] for name in videos)


def test_second_run_reuses_what_is_complete(tmp_path, capsys):
    video = tmp_path / 'videos' / 'moving left' / '001.mp4'
    tool.make_toy_videos(tmp_path, **SMALL)
    os.utime(video, (1, 1))
    tool.make_toy_videos(tmp_path, **SMALL)
    assert video.stat().st_mtime == 1
    assert 'already holds these 8 videos' in capsys.readouterr().out

    video.unlink()
    tool.make_toy_videos(tmp_path, **SMALL)
    assert video.is_file()

    os.utime(video, (1, 1))
    tool.make_toy_videos(tmp_path, seed=1, **SMALL)
    assert video.stat().st_mtime != 1


def test_command_line(tmp_path):
    tool.main(command(tmp_path, '--seed', '7', '--workers', '1'))
    assert len(list(tmp_path.rglob('*.mp4'))) == 8
    assert len(read(tmp_path / 'videos' / 'moving up' / '001.mp4')) == 6


@pytest.mark.parametrize(
    ('name', 'value'),
    [('num_classes', 99), ('videos_per_class', 1), ('size', 4), ('frames', 0), ('size', 48), ('size', 65)],
)
def test_arguments_out_of_range(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf'{name} must be .* but is {value}\.'):
        tool.make_toy_videos(tmp_path, **{**SMALL, name: value})
    assert not list(tmp_path.iterdir())


def test_unwritable_file(tmp_path):
    with pytest.raises(RuntimeError, match=r'cannot write the MPEG-4 video .*missing'):
        tool.write_video(tmp_path / 'missing' / '000.mp4', np.zeros((2, 32, 32, 3), np.uint8))
