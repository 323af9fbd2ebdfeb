"""Each benchmark as it comes, in miniature."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from mmaction.datasets import VideoDataset

from fsar_llava.datasets import EpisodicDataset
from fsar_llava.datasets.preparation import prepare_dataset
from fsar_llava.datasets.splits import load_split

HMDB = {
    'brush_hair/(Rad)Schlag!_&_[HD];_#2_~_brush_hair_f_cm_np1_le_med_0.avi': 10,
    'brush_hair/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi': 10,
    'cartwheel/turnles!!_cartwheel_f_cm_np1_ri_med_0.avi': 10,
    'fencing/a name with spaces.avi': 10,
    'kick/a;b&c.avi': 10,
}


def read(out, split):
    return [tuple(line.split('\t')) for line in (out / f'{split}.txt').read_text().splitlines()]


def report(out):
    return json.loads((out / 'audit.json').read_text())


def prepare(dataset, videos, out, **options):
    return prepare_dataset(dataset, videos, out, **{'workers': 1, 'num_frames': 8, **options})


def test_hmdb51(make_tree, tmp_path):
    root = make_tree({**HMDB, 'kick/._a;b&c.avi': b'x', 'somewhere/else.avi': 10, 'readme.txt': b'x'})
    prepare('hmdb51', root, tmp_path / 'out')
    out, labels = tmp_path / 'out', load_split('hmdb51').labels
    assert read(out, 'train') == [(name, '0') for name in sorted(HMDB) if name.startswith('brush_hair')]
    assert read(out, 'val') == [('cartwheel/turnles!!_cartwheel_f_cm_np1_ri_med_0.avi', '31')]
    assert read(out, 'test') == [('fencing/a name with spaces.avi', '41'), ('kick/a;b&c.avi', '42')]
    assert labels['fencing'] == 41
    names = (out / 'classes.txt').read_text().splitlines()
    assert (names[0], names[41], len(names)) == ('brush hair', 'fencing', 51)
    left_out = dict(line.split('\t') for line in (out / 'left_out.txt').read_text().splitlines())
    assert set(left_out) == {'kick/._a;b&c.avi', 'somewhere/else.avi'}
    assert 'dot' in left_out['kick/._a;b&c.avi']
    assert report(out)['splits']['test'] == dict(
        classes=10,
        published=1292,
        expected=None,
        found=2,
        written=2,
        list_hash=report(out)['splits']['test']['list_hash'],
    )


def test_annotations_and_hash_agree_with_the_datasets(make_tree, tmp_path):
    root, out = make_tree(HMDB), tmp_path / 'out'
    audit = prepare('hmdb51', root, out)
    inner = dict(type='VideoDataset', ann_file=str(out / 'test.txt'), delimiter='\t', pipeline=[])
    dataset = EpisodicDataset(
        dict(inner, data_prefix=dict(video=str(out / 'videos'))), classes=str(out / 'classes.txt')
    )
    assert sorted(dataset.video_names) == sorted(name for name in HMDB if name.startswith(('fencing', 'kick')))
    assert [dataset.class_names[label] for label in dataset.class_to_indices] == ['fencing', 'kick']
    assert dataset.metainfo['list_hash'] == audit.hash('test') == report(out)['splits']['test']['list_hash']
    lines = 'fencing/a name with spaces.avi\t41\nkick/a;b&c.avi\t42'
    assert audit.hash('test') == hashlib.sha256(lines.encode()).hexdigest()
    videos = VideoDataset(
        ann_file=str(out / 'train.txt'), delimiter='\t', pipeline=[], data_prefix=dict(video=str(root))
    )
    assert [Path(info['filename']).is_file() for info in videos.load_data_list()] == [True, True]


def test_ucf101_and_its_case_trap(make_tree, tmp_path):
    root = make_tree(
        {
            'HandstandPushups/v_HandStandPushups_g01_c01.avi': 10,
            'HandstandPushups/v_HandStandPushups_g01_c02.avi': 10,
            'archery/v_Archery_g01_c01.avi': 10,
            'Biking/v_Archery_g01_c02.avi': 10,
            'Punch/v_Punch_g01_c01.avi': 10,
        }
    )
    prepare('ucf101', root, tmp_path / 'out')
    out, label = tmp_path / 'out', load_split('ucf101').labels['HandstandPushups']
    assert read(out, 'val') == [(f'HandstandPushups/v_HandStandPushups_g01_c0{n}.avi', str(label)) for n in (1, 2)]
    assert read(out, 'train') == [('archery/v_Archery_g01_c01.avi', '1')]
    assert report(out)['case_mismatches'] == [
        dict(expected='v_HandstandPushups_*', found='v_HandStandPushups_*', videos=2),
        dict(expected='Archery', found='archery', videos=1),
    ]
    [refused] = report(out)['refused']
    assert refused['video'] == 'Biking/v_Archery_g01_c02.avi'
    assert "class 'Archery', its folder 'Biking'" in refused['reason']


KINETICS_TREE = {
    'train_256/baking_cookies/-W53pl92itE_000242_000252.mp4': 10,
    'val_256/baking_cookies/-514AQUrSow.mkv': 10,
    'train/air drumming/0abcdefghiJ_000001_000011.mp4': 10,
    'train/air drumming/CASEcaseCAS_000001_000011.mp4': 10,
    'train/unboxing/two_cuts__x_000001_000011.mp4': 10,
    'train/unboxing/two_cuts__x_000050_000060.mp4': 10,
    'train/unboxing/othercut__x_000050_000060.mp4': 10,
    'train/abseiling/zzzzzzzzzzz_000001_000011.mp4': 10,
}


def kinetics_lists(write_file, form):
    videos = {
        ('train', 0, 'air drumming'): ['0abcdefghiJ_000001_000011', 'casecasecas_000001_000011'],
        ('val', 0, 'baking cookies'): ['-514AQUrSow_000058_000068', '-W53pl92itE_000242_000252'],
        ('test', 23, 'unboxing'): [
            'two_cuts__x_000001_000011',
            'two_cuts__x_000099_000109',
            'othercut__x_000001_000011',
        ],
    }
    files = []
    for (split, index, class_name), ids in videos.items():
        if form == 'cmn':
            lines = [f'{class_name}/{name}' for name in ids]
        else:
            lines = [f'{split}{index}//train_256/{class_name.replace(" ", "_")}/{name}.mp4' for name in ids]
        files.append(write_file(f'{split}list03.txt', '\r\n'.join(lines) + '\r\n\r\n'))
    return files


@pytest.mark.parametrize('form', ['cmn', 'clip_fsar'])
def test_kinetics100(make_tree, write_file, tmp_path, form):
    prepare('kinetics100', make_tree(KINETICS_TREE), tmp_path / 'out', lists=kinetics_lists(write_file, form))
    out, labels = tmp_path / 'out', load_split('kinetics100').labels
    assert read(out, 'train') == [('train/air drumming/0abcdefghiJ_000001_000011.mp4', '0')]
    cookies = str(labels['baking cookies'])
    assert read(out, 'val') == [
        ('train_256/baking_cookies/-W53pl92itE_000242_000252.mp4', cookies),
        ('val_256/baking_cookies/-514AQUrSow.mkv', cookies),
    ]
    assert read(out, 'test') == [('train/unboxing/two_cuts__x_000001_000011.mp4', str(labels['unboxing']))]
    missing = {out['video'].rpartition('/')[2][:11]: out['reason'] for out in report(out)['missing']}
    assert set(missing) == {'casecasecas', 'two_cuts__x', 'othercut__x'}
    assert 'differs in case' in missing['casecasecas']
    assert 'trainlist03.txt:2' in missing['casecasecas']
    [row] = [row for row in report(out)['classes'] if row['class_name'] == 'unboxing']
    assert (row['expected'], row['found'], row['written']) == (3, 1, 1)
    assert report(out)['extra'] == dict(
        total=4, by_folder={'train/abseiling': 1, 'train/air drumming': 1, 'train/unboxing': 2}
    )


def test_kinetics_name_in_several_folders(make_tree, write_file, tmp_path):
    clip = '0abcdefghiJ_000001_000011'
    tree = {f'{folder}/{clip}.mp4': 10 for folder in ('train/unboxing', 'train/busking', 'other', 'third')}
    files = [write_file('test.txt', f'unboxing/{clip}\nbusking/{clip}\ntap dancing/{clip}\n')]
    prepare('kinetics100', make_tree(tree), tmp_path / 'out', lists=files)
    assert [path for path, _ in read(tmp_path / 'out', 'test')] == [
        f'train/busking/{clip}.mp4',
        f'train/unboxing/{clip}.mp4',
    ]
    [missing] = report(tmp_path / 'out')['missing']
    assert 'ambiguous; 2 files' in missing['reason']
    assert missing['class_name'] == 'tap dancing'


def test_the_folder_of_the_class_is_preferred(make_tree, write_file, tmp_path):
    tree = {f'{folder}/0abcdefghiJ.mp4': 10 for folder in ('another', 'train/busking')}
    files = [write_file('test.txt', 'test1/0abcdefghiJ\n')]
    prepare('kinetics100', make_tree(tree), tmp_path / 'out', lists=files)
    assert [path for path, _ in read(tmp_path / 'out', 'test')] == ['train/busking/0abcdefghiJ.mp4']


@pytest.mark.parametrize('form', ['cmn', 'numbered'])
def test_ssv2_small(make_tree, write_file, tmp_path, form):
    test = 'Twisting (wringing) something wet until water comes out'
    lines = [f'{test}/12\n{test}/99\n'] if form == 'cmn' else ['test0/12\ntest0/99\n']
    lines += ['Pouring something into something/7\n' if form == 'cmn' else 'train0/7\n']
    files = [write_file('test_few_shot.txt', lines[0]), write_file('train_few_shot.txt', lines[1])]
    prepare('ssv2_small', make_tree({'12.webm': 10, '7.webm': 10, '5.webm': 10}), tmp_path / 'out', lists=files)
    assert read(tmp_path / 'out', 'train') == [('7.webm', '0')]
    assert read(tmp_path / 'out', 'val') == []
    assert read(tmp_path / 'out', 'test') == [('12.webm', '76')]
    assert [out['video'].rpartition('/')[2] for out in report(tmp_path / 'out')['missing']] == ['99']


def official(write_file):
    train = [
        dict(id='1', template='Closing [something]'),
        dict(id='2', template='Picking [something] up'),  # a meta-test class: only its validation videos count
        dict(id='3', template='Putting [something similar to other things that are already on the table]'),
        dict(id='4', template='Burying [something] in [something]'),  # in no split
    ]
    validation = [dict(id='5', template='Picking [something] up'), dict(id='6', template='Closing [something]')]
    return [
        write_file('something-something-v2-validation.json', json.dumps(validation)),
        write_file('something-something-v2-train.json', json.dumps(train)),
    ]


def test_ssv2_full(make_tree, write_file, tmp_path):
    root = make_tree({f'{number}.webm': 10 for number in range(1, 7)})
    prepare('ssv2_full', root, tmp_path / 'out', official=official(write_file))
    labels = load_split('ssv2_full').labels
    similar = labels['Putting something similar to other things that are already on the table']
    assert read(tmp_path / 'out', 'train') == [('1.webm', str(labels['Closing something'])), ('3.webm', str(similar))]
    assert read(tmp_path / 'out', 'test') == [('5.webm', str(labels['Picking something up']))]
    assert report(tmp_path / 'out')['extra']['total'] == 3


@pytest.mark.parametrize(
    ('line', 'number', 'template'),
    [
        ('test0/5\n', 5, 'Picking something up'),
        ('test0/videos/5.webm\n', 5, 'Picking something up'),
        ('Approaching something with your camera/5\n', 5, 'Picking something up'),
        ('test0/4\n', 4, 'Burying something in something'),
    ],
)
def test_lists_that_contradict_the_official_annotations(make_tree, write_file, tmp_path, line, number, template):
    root = make_tree({'5.webm': 10, '4.webm': 10})
    files = dict(lists=[write_file('test.txt', line)], official=official(write_file))
    with pytest.raises(ValueError, match=rf"first '.*{number}.*' at test.txt:1: 'Approaching.*'{template}' officially"):
        prepare('ssv2_full', root, tmp_path / 'out', **files)


def test_lists_that_agree_with_the_official_annotations_or_know_more(make_tree, write_file, tmp_path):
    root = make_tree({'5.webm': 10, '9.webm': 10})
    lists = [write_file('test.txt', 'Picking something up/5\nPicking something up/9\n')]
    prepare('ssv2_full', root, tmp_path / 'out', lists=lists, official=official(write_file))
    assert len(read(tmp_path / 'out', 'test')) == 2


def test_hmdb_lists_of_both_forms(make_tree, write_file, tmp_path):
    root = make_tree({f'videos/{name}': content for name, content in HMDB.items()})
    name = 'cartwheel/turnles!!_cartwheel_f_cm_np1_ri_med_0'
    files = [write_file('val.txt', f'val0//videos/{name}.avi\n'), write_file('test.txt', 'kick/A;B&C\nfencing/gone\n')]
    prepare('hmdb51', root, tmp_path / 'out', lists=files)
    assert read(tmp_path / 'out', 'val') == [(f'videos/{name}.avi', '31')]
    assert read(tmp_path / 'out', 'test') == [('videos/kick/a;b&c.avi', '42')]
    assert report(tmp_path / 'out')['case_mismatches'] == [
        dict(expected='A;B&C', found='videos/kick/a;b&c.avi', videos=1)
    ]


def test_repeated_line(make_tree, write_file, tmp_path):
    files = [write_file('test.txt', 'kick/a;b&c\nkick/a;b&c.avi\n')]
    prepare('hmdb51', make_tree(HMDB), tmp_path / 'out', lists=files)
    [repeated] = report(tmp_path / 'out')['repeated']
    assert "'kick/a;b&c.avi' is at test.txt:2" in repeated['reason']
    assert report(tmp_path / 'out')['splits']['test']['expected'] == 1
