from __future__ import annotations

import pytest

from fsar_llava.datasets.preparation.list_files import inside, read_lists, read_official
from fsar_llava.datasets.splits import load_split


@pytest.mark.parametrize(
    'name', ['../x.avi', 'a/../../x', '/etc/passwd', '\\\\server\\x', '..\\x', 'C:\\x', 'C:/x', 'a/..', '', 'a\0b']
)
def test_paths_that_lead_out_are_refused(name):
    with pytest.raises(ValueError, match=r'here:1: .* leads out of the folder'):
        inside(name, 'here:1')


@pytest.mark.parametrize('name', ['a/b.avi', 'Geena___;-)_..._x.avi', 'jenny_~_rad.avi', '-514AQUrSow', 'a..b/c'])
def test_other_paths_are_taken(name):
    assert inside(name, 'here:1') == name


@pytest.mark.parametrize(
    ('dataset', 'name', 'text', 'message'),
    [
        ('hmdb51', 'test.txt', 'kick/a\nkick/../../../etc/passwd\n', r'test.txt:2: .* leads out'),
        ('hmdb51', 'test.txt', '/etc/passwd\n', r'test.txt:1: .* leads out'),
        ('hmdb51', 'test.txt', 'test0///etc/passwd\n', r"test.txt:1: '/etc/passwd' leads out"),
        ('hmdb51', 'test.txt', 'test0//../x.avi\n', r"test.txt:1: '../x.avi' leads out"),
        ('hmdb51', 'test.txt', 'walking/a\n', r"'walking' is no class of hmdb51"),
        ('hmdb51', 'test.txt', 'walk/a\n', r"'walk' is a train class of hmdb51"),
        ('hmdb51', 'test.txt', 'just_a_name\n', r"test.txt:1: expected '<test class of hmdb51>/<video>'"),
        ('hmdb51', 'test.txt', 'test10//videos/talk/a.avi\n', r'class 10 of test, but hmdb51 has 10 of them'),
        ('hmdb51', 'test.txt', 'test0//videos/kick/a.avi\n', r"which is 'fencing', and a folder of class 'kick'"),
        (
            'hmdb51',
            'test.txt',
            'test0//videos/fencing/a.avi\nkick/b\n',
            r"test.txt:2: expected a line like 'train8/78687'",
        ),
        ('hmdb51', 'list.txt', 'kick/a\n', r"list.txt must hold one of 'train', 'val' and 'test'.*holds none"),
        ('hmdb51', 'train_test.txt', 'kick/a\n', r"holds \['train', 'test'\]"),
        ('hmdb51', 'test.txt', '\n\n', r'test.txt is empty'),
    ],
)
def test_faulty_lists(write_file, dataset, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_lists([write_file(name, text)], load_split(dataset))


def test_unreadable_list(tmp_path):
    with pytest.raises(ValueError, match=r'gone.txt cannot be read'):
        read_lists([tmp_path / 'gone.txt'], load_split('hmdb51'))
    (tmp_path / 'test.txt').write_bytes(b'kick/\xff\n')
    with pytest.raises(ValueError, match=r'test.txt cannot be read'):
        read_lists([tmp_path / 'test.txt'], load_split('hmdb51'))


def test_byte_order_mark_and_order_of_files(write_file):
    files = [write_file('vallist.txt', '﻿eat/x\n'), write_file('trainlist.txt', 'walk/y z\n')]
    videos = read_lists(files, load_split('hmdb51'))
    assert [(video.split, video.class_name, video.name) for video in videos] == [
        ('val', 'eat', 'eat/x'),
        ('train', 'walk', 'walk/y z'),
    ]


@pytest.mark.parametrize(
    ('train', 'validation', 'message'),
    [
        ('{', '[]', 'no JSON file'),
        ('{"a": 1}', '[]', 'must hold a list of videos, but holds dict'),
        ('[{"id": "1"}]', '[]', 'record 0: expected an object with'),
        ('[{"id": "../1", "template": "Closing [something]"}]', '[]', 'leads out'),
    ],
)
def test_faulty_official_files(write_file, train, validation, message):
    files = [write_file('train.json', train), write_file('validation.json', validation)]
    with pytest.raises(ValueError, match=message):
        read_official(files, load_split('ssv2_full'))


def test_official_files_are_two(write_file):
    with pytest.raises(ValueError, match='are two files'):
        read_official([write_file('train.json', '[]')], load_split('ssv2_full'))
