from __future__ import annotations

import pytest

from fsar_llava.datasets import EpisodicDataset


def build(tmp_path, text, kind='VideoDataset', *, data_root=True, **kwargs):
    if text is not None:
        (tmp_path / 'list.txt').write_text(text)
    place = (
        dict(ann_file='list.txt', data_root=str(tmp_path)) if data_root else dict(ann_file=str(tmp_path / 'list.txt'))
    )
    return EpisodicDataset({**dict(type=kind, pipeline=[], serialize_data=False), **place, **kwargs}, 1)


GOOD = 'a.mp4 0\nb.mp4 1\n'


@pytest.mark.parametrize(
    ('text', 'delimiter', 'line', 'parts'),
    [
        (GOOD + 'my video.mp4 1\n', ' ', 3, ['more than one', 'TAB', r"delimiter='\t'"]),
        (GOOD + 'moving right/a.mp4 left/b.mp4\n', ' ', 3, ['more than one', r"delimiter='\t'"]),
        (GOOD + 'my video.mp4\n', ' ', 3, ["the label is 'video.mp4'", 'Number the classes']),
        (GOOD + 'c.mp4\n' + GOOD, ' ', 3, ["there is no ' '", 'Add the label']),
        (GOOD + '\n' + GOOD, ' ', 3, ['the line is empty', 'Remove it']),
        (GOOD, '\t', 1, [r"there is no '\t'", 'set delimiter']),
        ('a.mp4\t0\n', ' ', 1, ["there is no ' '", r"delimiter='\t'"]),
        (GOOD + 'c.mp4 running\n', ' ', 3, ["the label is 'running'"]),
        (GOOD + 'c.mp4 -1\n', ' ', 3, ["the label is '-1'"]),
        (GOOD + 'c.mp4 1.5\n', ' ', 3, ["the label is '1.5'"]),
    ],
)
@pytest.mark.parametrize('data_root', [True, False])
def test_video_list(tmp_path, text, delimiter, line, parts, data_root):
    with pytest.raises(ValueError, match=rf'list\.txt, line {line}: ') as caught:
        build(tmp_path, text, delimiter=delimiter, data_root=data_root)
    message = str(caught.value)
    assert repr(text.splitlines()[line - 1]) in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ('text', 'with_offset', 'line'),
    [
        ('a 3 0\nmy folder 3 0\n', False, 2),
        ('a 3 0\nb 3\n', False, 2),
        ('a 3 0\n', True, 1),
        ('a 1 3 0\na 5 3 zero\n', True, 2),
        ('a 3 0\nb 3 0 1\n', False, 2),
    ],
)
def test_rawframe_list(tmp_path, text, with_offset, line):
    with pytest.raises(ValueError, match=rf'list\.txt, line {line}: .*Expected a folder, .*rename such folders'):
        build(tmp_path, text, 'RawframeDataset', with_offset=with_offset)


def test_segments_of_one_file_are_different_videos(tmp_path):
    dataset = build(tmp_path, 'a 0 3 0\na 5 3 0\n', 'RawframeDataset', with_offset=True)
    assert dataset.video_names == ['a@0', 'a@5']


@pytest.mark.parametrize('kind', ['VideoDataset', 'RawframeDataset'])
@pytest.mark.parametrize('serialize_data', [True, False])
@pytest.mark.parametrize(
    ('text', 'message'), [(None, r'list\.txt does not exist.*ann_file'), ('', r'list\.txt is empty')]
)
def test_no_list(tmp_path, kind, text, message, serialize_data):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, text, kind, serialize_data=serialize_data)


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(TypeError, match='no_such_argument'):
        build(tmp_path, GOOD, no_such_argument=1)
    with pytest.raises(KeyError, match='NoSuchDataset'):
        build(tmp_path, GOOD, 'NoSuchDataset')


def test_good_list(tmp_path):
    dataset = build(tmp_path, GOOD)
    assert dataset.video_names == ['a.mp4', 'b.mp4']
    assert dataset.video_labels == [0, 1]
    assert build(tmp_path, 'my video.mp4\t0\n', delimiter='\t').video_names == ['my video.mp4']
