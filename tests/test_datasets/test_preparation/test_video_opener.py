from __future__ import annotations

import json
import os
import signal

import pytest

from fsar_llava.datasets.preparation import video_opener
from fsar_llava.datasets.preparation.prepare_dataset import prepare_dataset
from fsar_llava.datasets.preparation.video_opener import VideoOpener, open_video


@pytest.fixture
def videos(make_tree):
    """Videos of every condition."""
    root = make_tree(
        {
            'walk/good.avi': 10,
            'walk/short.avi': 3,
            'walk/same.avi': 'walk/good.avi',
            'kick/leak.avi': 'walk/good.avi',
            'walk/nonsense.avi': b'no video at all',
            'walk/empty.avi': b'',
            'walk/half.avi': 10,
            'walk/garbled.avi': 10,
            'eat/fine.avi': 10,
        }
    )
    half = root / 'walk/half.avi'
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    garbled = bytearray((root / 'walk/garbled.avi').read_bytes())
    begin = garbled.find(b'mdat') + 4  # the frames; how many there are and where stands behind them
    garbled[begin : begin + len(garbled) // 2] = bytes(len(garbled) // 2)
    (root / 'walk/garbled.avi').write_bytes(garbled)
    (root / 'walk/link.avi').symlink_to(root / 'nowhere.avi')
    return root


BAD = {'walk/nonsense.avi', 'walk/empty.avi', 'walk/half.avi', 'walk/garbled.avi', 'walk/link.avi'}


@pytest.mark.parametrize('decoder', ['decord', 'pyav'])
def test_audit_names_every_condition(videos, tmp_path, decoder):
    if decoder == 'pyav':
        pytest.importorskip('av')
    out = tmp_path / 'out'
    findings = prepare_dataset('hmdb51', videos, out, decoder=decoder, workers=2).findings()
    assert any(line.endswith("such as 'walk/good.avi' and 'walk/same.avi'") for line in findings)  # two, not the group
    audit = json.loads((out / 'audit.json').read_text())
    assert {found['video'] for found in audit['unreadable']} == BAD
    assert all(len(found['reason']) > len('unreadable; ') for found in audit['unreadable'])
    assert audit['short'] == {'walk/short.avi': 3}
    [group] = audit['duplicates']
    assert group == dict(
        videos=['walk/good.avi', 'walk/same.avi', 'kick/leak.avi'], classes=['kick', 'walk'], leak=True
    )
    [walk] = [row for row in audit['classes'] if row['class_name'] == 'walk']
    assert (walk['found'], walk['written']) == (8, 3)
    lines = (out / 'train.txt').read_text().splitlines()
    assert [line.split('\t')[0] for line in lines] == ['walk/good.avi', 'walk/same.avi', 'walk/short.avi']
    left_out = (out / 'left_out.txt').read_text().splitlines()
    assert {line.split('\t')[0] for line in left_out} == BAD
    assert audit['opened'] == dict(videos=10, decoder=decoder)


def test_without_opening_the_unknown_is_not_called_fine(videos, tmp_path):
    audit = prepare_dataset('hmdb51', videos, tmp_path / 'out', open_videos=False)
    report = audit.to_dict()
    assert [report[key] for key in ('opened', 'unreadable', 'short', 'duplicates')] == [None] * 4
    assert report['splits']['train']['written'] == 8
    assert any('not opened' in line for line in audit.findings())


def test_a_second_run_opens_only_what_changed(videos, tmp_path, monkeypatch):
    cache, paths = tmp_path / 'opened.jsonl', ['eat/fine.avi', 'walk/good.avi', 'walk/short.avi', 'walk/empty.avi']
    first = VideoOpener(videos, cache).open(paths[1:])
    with cache.open('a') as file:
        file.write('{"path": "eat/fine.avi", "sta')  # killed here
    asked = []
    original = VideoOpener._open_all
    monkeypatch.setattr(VideoOpener, '_open_all', lambda self, todo: asked.append(list(todo)) or original(self, todo))
    second = VideoOpener(videos, cache).open(paths)
    assert asked.pop() == ['eat/fine.avi', 'walk/empty.avi']  # what failed is tried again
    assert {path: second[path] for path in paths[1:]} == first
    assert list(second) == paths
    assert VideoOpener(videos, cache).open(paths) == second
    assert asked.pop() == ['walk/empty.avi']
    os.utime(videos / 'walk/good.avi', (1, 1))
    VideoOpener(videos, cache).open(paths)
    assert asked.pop() == ['walk/good.avi', 'walk/empty.avi']
    assert VideoOpener(videos, cache, decoder='frames').open([]) == {}


def crash_on_short(path, *, decoder):
    if 'short' in path:
        os.kill(os.getpid(), signal.SIGKILL)
    return open_video(path, decoder=decoder)


def test_a_crash_of_the_decoder_is_blamed_on_the_right_video(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(video_opener, 'open_video', crash_on_short)
    paths = ['eat/fine.avi', 'walk/short.avi', 'walk/good.avi', 'walk/same.avi', 'kick/leak.avi', 'walk/empty.avi']
    opened = VideoOpener(videos, tmp_path / 'opened.jsonl', workers=1).open(paths)
    assert list(opened) == paths
    assert opened['walk/short.avi'].error == 'the decoder crashed'
    assert {path for path in paths if opened[path].frames == 10} == set(paths) - {'walk/short.avi', 'walk/empty.avi'}


def test_missing_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(video_opener, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"'decord' needs the package 'decord'.*use --decoder pyav"):
        VideoOpener(tmp_path, tmp_path / 'cache', decoder='decord')
