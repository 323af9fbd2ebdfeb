"""Verify, merge and prune."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO
from unittest.mock import Mock

import pytest
import torch
from safetensors import SafetensorError

from fsar_llava.features import Fingerprint, TokenShardError, TokenStore, TokenStoreMismatchError, TokenWriter
from tests.conftest import load_tool

from .test_token_store import IDENTITY, PRINT, changed, fill, put_a_foreign_shard, tokens

main = load_tool('tools/tokens.py').main


def flip_last_byte(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, 'No space left on device')


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fill(tmp_path, range(3))
    assert main(['info', str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert '3 videos in 1 files' in printed
    assert 'backbone.layer: 2' in printed


@pytest.mark.parametrize('damage', [flip_last_byte, lambda shard: os.truncate(shard, 100)])
def test_verify_names_the_damaged_file_and_prune_removes_it(tmp_path: Path, damage, capsys) -> None:
    fill(tmp_path, range(6), shard_videos=2)
    assert main(['verify', str(tmp_path)]) == 0
    shard = TokenStore(tmp_path).shards()[1]
    damage(shard)
    assert main(['verify', str(tmp_path)]) == 1
    assert str(shard) in capsys.readouterr().err
    assert main(['prune', str(tmp_path), '--broken', '--dry-run']) == 0
    assert shard.exists()
    assert main(['prune', str(tmp_path), '--broken']) == 0
    assert main(['verify', str(tmp_path)]) == 0
    assert len(TokenStore(tmp_path)) == 4


@pytest.mark.parametrize('error', [MemoryError(), OSError(errno.ENOMEM, 'Cannot allocate'), SafetensorError('mmap')])
@pytest.mark.parametrize('command', ['info', 'verify', 'prune --broken', 'prune'])
def test_a_machine_that_cannot_open_a_file_calls_none_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, error: Exception
) -> None:
    fill(tmp_path, range(4), shard_videos=2)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr('safetensors.safe_open', Mock(side_effect=error))
    name, *options = command.split()
    with pytest.raises(OSError, match=r'tokens-.* is whole, but cannot be opened now: .*run the same command again'):
        main([name, str(tmp_path), *options])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **options: object) -> IO:
        if path.name.startswith('tokens-'):
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return original(path, *args, **options)

    fill(tmp_path, range(1))
    original = Path.open
    monkeypatch.setattr('safetensors.safe_open', Mock(side_effect=FileNotFoundError('No such file')))
    monkeypatch.setattr(Path, 'open', refuse)
    with pytest.raises(PermissionError, match=r'Permission denied: .*tokens-'):
        main(['prune', str(tmp_path), '--broken'])
    monkeypatch.undo()
    assert len(TokenStore(tmp_path)) == 1


def test_prune_keeps_the_older_of_two_entries_where_the_newer_is_damaged(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('a b/0.mp4', PRINT, *tokens(7))
    flip_last_byte(TokenStore(tmp_path).videos['a b/0.mp4'].shard)
    assert main(['prune', str(tmp_path), '--broken']) == 0
    assert torch.equal(TokenStore(tmp_path).read('a b/0.mp4').visual, tokens(0)[0])


def test_a_shard_of_another_store_is_named_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fill(tmp_path / 'one', range(1))
    foreign = put_a_foreign_shard(tmp_path / 'one')
    for command in ('prune', 'verify'):
        assert main([command, str(tmp_path / 'one')]) == (command == 'verify')
        assert str(foreign) in capsys.readouterr().err
    assert main(['prune', str(tmp_path / 'one'), '--broken']) == 0
    assert foreign.exists()
    flip_last_byte(foreign)
    assert main(['prune', str(tmp_path / 'one'), '--broken']) == 0
    assert not foreign.exists()
    assert len(TokenStore(tmp_path / 'one')) == 1


def test_merge(tmp_path: Path) -> None:
    fill(tmp_path / 'a', range(0, 4))
    fill(tmp_path / 'b', range(2, 6), shard_videos=3)
    assert main(['merge', str(tmp_path / 'c'), str(tmp_path / 'a'), str(tmp_path / 'b')]) == 0
    assert main(['merge', str(tmp_path / 'c'), str(tmp_path / 'a')]) == 0
    store = TokenStore(tmp_path / 'c')
    assert len(store) == 6
    assert len(store.shards()) == 3
    assert torch.equal(store.read('a b/5.mp4').visual, tokens(5)[0])


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_merging_into_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fill(tmp_path / 'a', range(1))
    fill(tmp_path / 'b', range(1, 2))
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match=r'No space left.*Free some space.*run the same command again: .*tokens-'):
        main(['merge', str(tmp_path / 'a'), str(tmp_path / 'b')])
    assert list(TokenStore(tmp_path / 'a').videos) == ['a b/0.mp4']
    assert not list((tmp_path / 'a').glob('.*'))


def begin(folder: Path, path: tuple, value: object) -> None:
    """A store of one video, whose identity has another value there."""
    with TokenWriter(folder, changed(path, value)) as writer:
        writer.add('x.mp4', PRINT, *tokens(9))


@pytest.mark.parametrize(
    ('path', 'values', 'complaint'),
    [
        (('prompts', 0), ('What?', 'Else?'), r'prompts\[0\]: "What\?" and "Else\?"'),
        (('backbone', 'grid'), (4, 4.0), r'backbone\.grid: 4 and 4\.0'),  # equal in Python, but not in their hash
        (('backbone', 'grid'), (1, True), r'backbone\.grid: 1 and true'),
    ],
)
def test_merge_refuses_another_identity(tmp_path: Path, path: tuple, values: tuple, complaint: str) -> None:
    for name, value in zip('ab', values):
        begin(tmp_path / name, path, value)
    message = f'stores .*a and .*b were made from different things:\n  {complaint}\nNothing is copied'
    with pytest.raises(TokenStoreMismatchError, match=message) as caught:
        main(['merge', str(tmp_path / 'c'), str(tmp_path / 'a'), str(tmp_path / 'b')])
    assert 'config' not in str(caught.value)
    assert not (tmp_path / 'c').exists()
    with pytest.raises(TokenStoreMismatchError, match=r'stores .*b and .*a were made from different things'):
        main(['merge', str(tmp_path / 'a'), str(tmp_path / 'b')])
    assert len(TokenStore(tmp_path / 'a').shards()) == 1


def truncate(shard: Path) -> None:
    os.truncate(shard, shard.stat().st_size - 40)


@pytest.mark.parametrize('damage', [flip_last_byte, truncate, None])
def test_merge_copies_no_damaged_and_no_foreign_file(tmp_path: Path, damage: Callable[[Path], None] | None) -> None:
    fill(tmp_path / 'a', range(2))
    fill(tmp_path / 'b', range(2, 6), shard_videos=1)
    shutil.copytree(tmp_path / 'b', tmp_path / 'intact')
    bad = TokenStore(tmp_path / 'b').shards()[2]
    if damage:
        damage(bad)
    else:
        bad = put_a_foreign_shard(tmp_path / 'b')
    for target, *sources in (('a', 'b'), ('c', 'b'), ('c', 'b', 'intact'), ('c', 'intact', 'b')):
        with pytest.raises(TokenShardError, match=str(bad)):
            main(['merge', str(tmp_path / target), *(str(tmp_path / source) for source in sources)])
    assert not (tmp_path / 'c').exists()
    assert len(TokenStore(tmp_path / 'a').shards()) == 1


def test_prune_keeps_the_latest_of_each_video(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('a b/1.mp4', Fingerprint(9, 9, 'new'), *tokens(11))
    (tmp_path / '.writing-old').write_bytes(b'left by a killed process')
    os.utime(tmp_path / '.writing-old', (0, 0))
    (tmp_path / '.writing-new').write_bytes(b'being written')
    assert main(['prune', str(tmp_path)]) == 0
    store = TokenStore(tmp_path)
    assert not store.superseded
    assert store.videos['a b/1.mp4'].fingerprint.sha256 == 'new'
    assert store.videos['a b/2.mp4'].fingerprint == PRINT
    for number, expected in ((0, 0), (1, 11), (2, 2), (3, 3)):
        assert torch.equal(store.read(f'a b/{number}.mp4').visual, tokens(expected)[0])
    assert [path.name for path in tmp_path.glob('.writing*')] == ['.writing-new']
    assert main(['verify', str(tmp_path)]) == 0


def test_prune_on_a_full_disk_first_removes_what_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(8), shard_videos=2)
    fill(tmp_path, range(8, 12), shard_videos=1)
    with TokenWriter(tmp_path, IDENTITY) as writer:  # half of each of the first four files, and the other four
        for number in (0, 2, 4, 6, 8, 9, 10, 11):
            writer.add(f'a b/{number}.mp4', PRINT, *tokens(20 + number))
    (tmp_path / '.writing-old').write_bytes(b'left by a killed process')
    os.utime(tmp_path / '.writing-old', (0, 0))
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'No space left.*Free some space'):
        main(['prune', str(tmp_path)])
    monkeypatch.undo()
    assert len(TokenStore(tmp_path).shards()) == 5
    assert not list(tmp_path.glob('.*'))
    main(['prune', str(tmp_path)])
    store = TokenStore(tmp_path)
    assert not store.superseded
    for number in range(12):
        expected = number if number in (1, 3, 5, 7) else 20 + number
        assert torch.equal(store.read(f'a b/{number}.mp4').visual, tokens(expected)[0])


def test_pruned_files_are_as_old_as_before(tmp_path: Path) -> None:
    fill(tmp_path / 'a', range(2))
    with TokenWriter(tmp_path / 'b', IDENTITY) as writer:
        writer.add('a b/0.mp4', PRINT, *tokens(7))
    (tmp_path / 'list.txt').write_text('a b/0.mp4\t0\n')
    assert main(['prune', str(tmp_path / 'a'), '--keep', str(tmp_path / 'list.txt')]) == 0
    assert main(['merge', str(tmp_path / 'b'), str(tmp_path / 'a')]) == 0
    store = TokenStore(tmp_path / 'b')
    assert len(store.shards()) == 2
    assert torch.equal(store.read('a b/0.mp4').visual, tokens(7)[0])


def test_prune_to_a_list(tmp_path: Path) -> None:
    fill(tmp_path / 'store', range(4), shard_videos=2)
    (tmp_path / 'list.txt').write_text('a b/1.mp4\t0\na b/7.mp4\t0\n')
    assert main(['prune', str(tmp_path / 'store'), '--keep', str(tmp_path / 'list.txt')]) == 0
    assert list(TokenStore(tmp_path / 'store').videos) == ['a b/1.mp4']


@pytest.mark.parametrize(
    ('lines', 'complaint'),
    [
        ('a b/0.mp4\t0\na b/1.mp4 0\n', r"Line 2 of .*list\.txt has no '\\t' .*'a b/1\.mp4 0'.*--delimiter"),
        ('b/0.mp4\t0\nb/1.mp4\t0\n', r"none of the 2 videos to keep, such as 'b/0\.mp4'.*--delimiter"),
        ('', 'none of the 0 videos'),
    ],
)
def test_a_list_that_names_no_video_removes_nothing(tmp_path: Path, lines: str, complaint: str) -> None:
    fill(tmp_path / 'store', range(2))
    (tmp_path / 'list.txt').write_text(lines)
    with pytest.raises(ValueError, match=complaint):
        main(['prune', str(tmp_path / 'store'), '--keep', str(tmp_path / 'list.txt')])
    assert len(TokenStore(tmp_path / 'store')) == 2


def test_names_with_separators_of_lines_that_lists_do_not_know(tmp_path: Path) -> None:
    names = ['a\u2028b.mp4', 'c\x85d.mp4']
    with TokenWriter(tmp_path / 'store', IDENTITY) as writer:
        for name in (*names, 'e.mp4'):
            writer.add(name, PRINT, *tokens(0))
    (tmp_path / 'list.txt').write_text(''.join(f'{name}\t0\n' for name in names), encoding='utf-8')
    main(['prune', str(tmp_path / 'store'), '--keep', str(tmp_path / 'list.txt')])
    assert list(TokenStore(tmp_path / 'store').videos) == names


def test_lists_may_have_another_delimiter(tmp_path: Path) -> None:
    with TokenWriter(tmp_path / 'store', IDENTITY) as writer:
        for name in ('jump/0', 'jump/1'):
            writer.add(name, PRINT, *tokens(0))
    (tmp_path / 'list.txt').write_text('jump/1 30 0\n\n')
    main(['prune', str(tmp_path / 'store'), '--keep', str(tmp_path / 'list.txt'), '--delimiter', ' '])
    assert list(TokenStore(tmp_path / 'store').videos) == ['jump/1']
