from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from mmaction.datasets import RawframeDataset

from fsar_llava.datasets import EpisodicDataset
from fsar_llava.datasets.annotations import name_classes
from fsar_llava.datasets.preparation import prepare_dataset
from fsar_llava.datasets.preparation.scan import Scan
from fsar_llava.datasets.splits import load_split
from tests.conftest import REPOSITORY, load_tool

tool = load_tool('tools/data/prepare.py')
JPEG = cv2.imencode('.jpg', np.zeros((16, 16, 3), np.uint8))[1].tobytes()
SMALL = {'walk/a.avi': b'a', 'eat/b.avi': b'b', 'kick/c.avi': b'c'}


def report(out):
    return json.loads((out / 'audit.json').read_text())


def frames(folder, numbers, template='img_{:05}.jpg', content=JPEG):
    return {f'{folder}/{template.format(number)}': content for number in numbers}


def test_folders_of_frames(make_tree, tmp_path):
    root = make_tree(
        {
            **frames('kick/good;(1)', range(1, 11)),
            **frames('kick/short', range(1, 4)),
            **frames('kick/gaps', [1, 2, 9]),
            **frames('kick/other', range(10), 'frame{:d}.png'),
            **frames('kick/two words', range(1, 11)),
            **frames('kick/broken', range(1, 11), content=b'no image'),
            **frames('nothing/else', range(1, 11)),
        }
    )
    out = tmp_path / 'out'
    prepare_dataset('hmdb51', root, out, frames=True, workers=1)
    assert (out / 'test.txt').read_text() == 'kick/good;(1) 10 42\nkick/short 3 42\n'
    assert report(out)['layout'] == dict(filename_tmpl='img_{:05}.jpg', start_index=1)
    reasons = {found['video']: found['reason'] for key in ('refused', 'unreadable') for found in report(out)[key]}
    assert set(reasons) == {'kick/gaps', 'kick/other', 'kick/two words', 'kick/broken'}
    assert 'one after the other' in reasons['kick/gaps']
    assert "begin with 'frame0.png'" in reasons['kick/other']
    assert 'underscores' in reasons['kick/two words']
    assert re.search(r'image img_0000\d.jpg cannot be read|image img_00010.jpg cannot be read', reasons['kick/broken'])
    assert report(out)['short'] == {'kick/short': 3}
    dataset = RawframeDataset(ann_file=str(out / 'test.txt'), pipeline=[], data_prefix=dict(img=str(out / 'videos')))
    assert [info['total_frames'] for info in dataset.load_data_list()] == [10, 3]
    assert EpisodicDataset(dataset).list_hash == report(out)['splits']['test']['list_hash']


def test_names_that_a_line_cannot_hold(make_tree, tmp_path):
    names = [
        'walk/tab\there.avi',
        'walk/line\nbreak.avi',
        'walk/ inner.avi',
        'walk/nbsp\u00a0ü漢.avi',
        ' in/walk/a.avi',
    ]
    bad = os.fsdecode(b'walk/bad\xff.avi')
    prepare_dataset('hmdb51', make_tree(dict.fromkeys([*names, bad], b'x')), tmp_path / 'out', open_videos=False)
    lines = (tmp_path / 'out/train.txt').read_text(encoding='utf-8')
    label = load_split('hmdb51').labels['walk']
    assert lines == f'walk/ inner.avi\t{label}\nwalk/nbsp\u00a0ü漢.avi\t{label}\n'
    assert len(report(tmp_path / 'out')['refused']) == 4
    assert len((tmp_path / 'out/left_out.txt').read_text(encoding='utf-8').splitlines()) == 4


def test_links_into_and_around_the_tree(make_tree):
    root = make_tree({'stored/a.avi': b'a'})
    (root / 'walk').symlink_to(root / 'stored')
    (root / 'stored' / 'up').symlink_to(root)
    audit = prepare_dataset('hmdb51', root, root, open_videos=False)
    again = prepare_dataset('hmdb51', root / 'videos', root, open_videos=False)
    assert [entry.path for entry in audit.selection.entries] == [entry.path for entry in again.selection.entries]
    assert (root / 'videos').resolve() == root.resolve()


@pytest.mark.parametrize('frames', [False, True])
def test_a_folder_under_two_names_is_named(make_tree, tmp_path, frames):
    video = 'one/img_1.jpg' if frames else 'one.mp4'
    root = make_tree({f'{name}/{video}': b'x' for name in ('a', 'b', 'c')})
    (root / 'c' / 'related').symlink_to(root / 'a')
    audit = prepare_dataset(
        'custom', root, tmp_path / 'out', ratio=(0, 0, 1), open_videos=False, frames=frames, num_frames=1
    )
    assert len(audit.selection.entries) == 3
    left_out = (tmp_path / 'out/left_out.txt').read_text()
    assert 'a/\textra; it is the folder c/related/' in left_out or 'c/related/\textra; it is the folder a/' in left_out


def test_the_link_follows_the_videos(make_tree, tmp_path):
    root = make_tree(SMALL)
    prepare_dataset('hmdb51', root, tmp_path / 'out', open_videos=False)
    root = root.rename(tmp_path / 'moved')
    prepare_dataset('hmdb51', root, tmp_path / 'out', open_videos=False)
    assert (tmp_path / 'out/videos/walk/a.avi').read_bytes() == b'a'


def test_out_folder_with_other_videos(make_tree, tmp_path):
    (tmp_path / 'out/videos').mkdir(parents=True)
    with pytest.raises(ValueError, match=r'out/videos exists and is not the folder'):
        prepare_dataset('hmdb51', make_tree(SMALL), tmp_path / 'out', open_videos=False)


CUSTOM = {
    f'{name}/{number}.mp4': b'x' for name in ['OpenDoor', 'close_door', 'wave', 'sit', 'run'] for number in (1, 2)
}


def classes_of(audit):
    return {part: set(names) for part, names in audit.split.classes.items()}


def test_custom_by_ratio(make_tree, tmp_path):
    root = make_tree({**CUSTOM, 'loose.mp4': b'x'})
    one, two, other = (
        prepare_dataset('custom', root, tmp_path / f'{seed}{copy}', ratio=(3, 1, 1), seed=seed, open_videos=False)
        for seed, copy in [(0, 'a'), (0, 'b'), (1, 'a')]
    )
    assert classes_of(one) == classes_of(two) != classes_of(other)
    assert {part: len(names) for part, names in classes_of(one).items()} == dict(train=3, val=1, test=1)
    assert set.union(*classes_of(one).values()) == {'OpenDoor', 'close_door', 'wave', 'sit', 'run'}
    names = (tmp_path / '0a/classes.txt').read_text().splitlines()
    assert set(names) == {'open door', 'close door', 'wave', 'sit', 'run'}
    for part in ('train', 'val', 'test'):
        rows = [line.split('\t') for line in (tmp_path / '0a' / f'{part}.txt').read_text().splitlines()]
        assert len(rows) == 2 * len(classes_of(one)[part])
        assert {path.split('/')[0].lower().replace('_', '') for path, _ in rows} == {
            names[int(label)].replace(' ', '') for _, label in rows
        }
    assert [found.video for found in one.selection.left_out] == ['loose.mp4']
    sizes = [line for line in one.findings() if 'classes of two videos or more' in line]
    assert 'set train_dataloader.sampler.num_ways=3 or less' in sizes[0]
    remedy = 'add some, or divide the classes in another way (--ratio, --class-lists)'
    assert [line.rpartition(': ')[2] for line in sizes[1:]] == [remedy, remedy]


def test_without_training(make_tree, tmp_path):
    """All classes are test classes; the other splits are said to be empty, not to be too small."""
    audit = prepare_dataset('custom', make_tree(CUSTOM), tmp_path / 'out', ratio=(0, 0, 1), open_videos=False)
    sizes = [line for line in audit.findings() if line.startswith(('train', 'val'))]
    assert sizes == [
        'train is empty: nothing can be trained',
        'val is empty: no checkpoint can be chosen by it; train with --no-validate, and test the last one',
    ]


def test_classes_of_a_single_video_are_named(make_tree, tmp_path):
    root = make_tree({name: content for name, content in CUSTOM.items() if name != 'wave/2.mp4'})
    audit = prepare_dataset('custom', root, tmp_path / 'out', ratio=(3, 1, 1), open_videos=False)
    [finding] = [line for line in audit.findings() if 'single video' in line]
    part = audit.split.split_of['wave']
    assert finding.startswith(f"{part} has classes of a single video (1, such as 'wave')")
    assert finding.endswith(f'take their lines out of {part}.txt')


@pytest.mark.parametrize('separator', ['\n', '\r', '\x0c', '\u2028'])
def test_a_folder_with_a_line_break_shifts_no_other_name(make_tree, tmp_path, separator):
    odd = f'b{separator}c'
    folders = ['a', odd, 'd', 'e', 'f', 'g']
    videos = make_tree({f'{folder}/{number}.mp4': b'' for folder in folders for number in range(2)})
    prepare_dataset('custom', videos, tmp_path / 'out', open_videos=False)
    for split in ('train', 'val', 'test'):
        lines = [line for line in (tmp_path / f'out/{split}.txt').read_text().split('\n') if line]
        labels = [int(line.split('\t')[1]) for line in lines]
        names = name_classes(str(tmp_path / 'out/classes.txt'), labels)
        assert [names[label] for label in labels] == [line.split('/')[0].replace(odd, 'b c') for line in lines]


def test_a_mark_of_byte_order_is_no_part_of_a_class_name(tmp_path):
    (tmp_path / 'classes.txt').write_bytes(b'\xef\xbb\xbfjump\nrun\n\n')
    assert name_classes(str(tmp_path / 'classes.txt'), [0, 1]) == ('jump', 'run')


def test_the_top_folder_of_own_videos_is_their_class(make_tree, tmp_path):
    names = ['walk/run/1.mp4', 'walk/2.mp4', 'run/walk/part/3.mp4', 'sit/4.mp4', 'wave/5.mp4']
    prepare_dataset('custom', make_tree(dict.fromkeys(names, b'')), tmp_path / 'out', open_videos=False)
    classes = (tmp_path / 'out/classes.txt').read_text().split('\n')
    lines = [line for split in ('train', 'val', 'test') for line in (tmp_path / f'out/{split}.txt').open()]
    found = {path: classes[int(label)] for path, label in (line.split('\t') for line in lines)}
    assert found == {name: name.partition('/')[0] for name in names}


@pytest.mark.parametrize(
    ('names', 'beside', 'frames'),
    [
        (['jump/1.mp4', 'run/1.mp4', 'sit/1.mp4', 'wave mp4/1.mp4', 'wave.mp4'], 'wave.mp4', False),
        ([*(f'{name}/1/img_1.jpg' for name in ('jump', 'run', 'sit', 'wave')), 'wave/img_1.jpg'], 'wave', True),
    ],
    ids=['file', 'images'],
)
def test_what_lies_beside_own_videos_is_none(make_tree, tmp_path, names, beside, frames):
    videos = make_tree(dict.fromkeys(names, b''))
    audit = prepare_dataset('custom', videos, tmp_path / 'out', frames=frames, open_videos=False)
    assert len(audit.selection.entries) == 4
    assert [out.video for out in audit.selection.left_out] == [beside]


@pytest.mark.parametrize(
    ('video', 'wanted', 'frames'),
    [('1.MTS', '.3gp, .avi', False), ('1/img_1.jpg', 'numbered images', True)],
    ids=['files', 'images'],
)
def test_files_of_other_kinds_are_counted(make_tree, tmp_path, video, wanted, frames):
    videos = [f'{name}/{video}' for name in ('jump', 'run', 'sit', 'wave')]
    others = ['jump/2.gif', 'jump/3.GIF', 'run/notes.txt', 'LICENSE', 'sit/.DS_Store']
    audit = prepare_dataset(
        'custom', make_tree(dict.fromkeys(videos + others, b'')), tmp_path / 'out', frames=frames, open_videos=False
    )
    assert len(audit.selection.entries) == 4
    assert report(tmp_path / 'out')['others'] == {'.gif': 2, '.txt': 1, 'no extension': 1}
    (finding,) = (line for line in audit.findings() if 'by their names' in line)
    assert finding.startswith(
        f'4 files are no videos by their names: 2 .gif, 1 .txt, 1 no extension. Expected {wanted}'
    )


def test_a_class_folder_in_another_encoding_is_named(make_tree, tmp_path):
    videos = make_tree({**CUSTOM, os.fsdecode(b'caf\xe9/0.mp4'): b''})
    with pytest.raises(ValueError, match=r"class folder 'caf\\udce9' is not valid UTF-8.*Rename it"):
        prepare_dataset('custom', videos, tmp_path / 'out', open_videos=False)


def test_custom_by_lists(make_tree, write_file, tmp_path):
    lists = [write_file('my_test.txt', 'run\nsit\n'), write_file('my_train.txt', 'OpenDoor\nwave\n')]
    audit = prepare_dataset('custom', make_tree(CUSTOM), tmp_path / 'out', class_lists=lists, open_videos=False)
    assert classes_of(audit) == dict(train={'OpenDoor', 'wave'}, val=set(), test={'run', 'sit'})
    assert [found['video'] for found in audit.left_out('extra')] == ['close_door/1.mp4', 'close_door/2.mp4']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(ratio=(9, 1, 0.01)), 'leave none for test'),
        (dict(ratio=(1, 1)), 'three shares'),
        (dict(ratio=(-1, 1, 1)), 'three shares'),
        (dict(class_lists='jump\n'), r"train.txt:1: there is no folder 'jump'. The class folders are \['OpenDoor'"),
        (dict(class_lists='run\nrun\n'), r"\['run'\] are listed twice"),
        (dict(class_lists='\n'), 'train.txt name no class'),
        (dict(ratio=(float('nan'), 1, 1)), 'three shares'),
        (dict(lists=['x']), 'do not apply'),
    ],
)
def test_custom_errors(make_tree, write_file, tmp_path, options, message):
    if 'class_lists' in options:
        options = dict(class_lists=[write_file('train.txt', options['class_lists'])])
    with pytest.raises(ValueError, match=message):
        prepare_dataset('custom', make_tree(CUSTOM), tmp_path / 'out', open_videos=False, **options)


@pytest.mark.parametrize(
    ('dataset', 'options', 'message'),
    [
        ('hmdb51', dict(videos='gone'), 'gone, does not exist'),
        ('hmdb50', {}, "no class split 'hmdb50'"),
        ('kinetics100', {}, 'needs --lists'),
        ('ssv2_small', {}, 'needs --lists'),
        ('ssv2_full', {}, 'needs --official'),
        ('ucf101', dict(official=['a', 'b']), 'ucf101 has none'),
        ('ucf101', dict(class_lists=['gone.txt']), 'those of ucf101 are divided already'),
        ('ucf101', dict(ratio=[9, 1, 1]), 'those of ucf101 are divided already'),
        ('ucf101', dict(seed=1), 'those of ucf101 are divided already'),
        ('ucf101', {}, r'Of the 3 videos below .* none belongs to ucf101. Expected a folder .*ApplyEyeMakeup'),
    ],
)
def test_wrong_arguments(make_tree, tmp_path, dataset, options, message):
    root = make_tree(SMALL)
    with pytest.raises(ValueError, match=message):
        prepare_dataset(dataset, **{'videos': root, 'out': tmp_path / 'out', **options})
    assert not (tmp_path / 'out').exists()


def test_archives_that_were_not_unpacked(make_tree, tmp_path):
    with pytest.raises(ValueError, match=r'archives, such as walk.rar: unpack them'):
        prepare_dataset('hmdb51', make_tree({'walk.rar': b'x'}), tmp_path / 'out')


def test_a_hundred_thousand_lines_take_seconds(make_tree, write_file, tmp_path, monkeypatch):
    module = sys.modules['fsar_llava.datasets.preparation.prepare_dataset']
    count = 100_000
    names = [f'{number}.webm' for number in range(count + 50_000)]
    monkeypatch.setattr(module, 'scan_videos', lambda root: Scan(names, {}, Counter()))
    classes = list(load_split('ssv2_full').classes['train'])
    records = [dict(id=str(number), template=classes[number % 64]) for number in range(count)]
    files = [write_file('train.json', json.dumps(records)), write_file('validation.json', '[]')]
    begin = time.process_time()
    audit = prepare_dataset('ssv2_full', make_tree(SMALL), tmp_path / 'out', official=files, open_videos=False)
    assert time.process_time() - begin < 20
    assert audit.splits()['train']['written'] == count
    assert len((tmp_path / 'out/train.txt').read_text().splitlines()) == count


def test_command_line(make_tree, tmp_path, capsys):
    root = make_tree({'walk/a.avi': 10, 'eat/b.avi': 10, 'kick/c.avi': b'x', 'sit/d.avi': 10})
    assert tool.main(['hmdb51', '--videos', str(root), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    printed = capsys.readouterr().out
    assert 'HMDB51' in printed
    assert "1 unreadable, such as 'kick/c.avi'" in printed
    assert f'all splits together: {report(tmp_path / "out")["list_hash"]}' in printed
    assert tool.main(['hmdb51', '--videos', str(tmp_path / 'gone')]) == 1
    assert 'does not exist' in capsys.readouterr().err


def test_the_folder_of_all_data_sets_is_where_configs_look(make_tree, tmp_path, monkeypatch):
    monkeypatch.setenv('FSAR_DATA_ROOT', str(tmp_path / 'root'))
    root = make_tree({'walk/a.avi': 10, 'eat/b.avi': 10})
    assert tool.main(['hmdb51', '--videos', str(root), '--no-open']) == 0
    assert report(tmp_path / 'root/hmdb51')['splits']


def test_command_line_needs_no_torch(make_tree, tmp_path):
    root = make_tree({'walk/a.avi': 10, 'kick/c.avi': 10})
    code = (
        'import runpy, sys; sys.argv = sys.argv[1:]\n'
        'try: runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'except SystemExit as error: assert not error.code, error.code\n'
        'heavy = {"torch", "mmengine", "mmaction", "transformers"} & set(sys.modules); assert not heavy, heavy'
    )
    command = [sys.executable, '-c', code, str(REPOSITORY / 'tools/data/prepare.py'), 'hmdb51', '--videos', str(root)]
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(
        [*command, '--out', str(tmp_path / 'out')], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert report(tmp_path / 'out')['splits']['test']['written'] == 1
