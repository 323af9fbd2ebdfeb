"""Reading and writing tokens: round trips, damage, concurrency, identity."""

from __future__ import annotations

import copy
import errno
import hashlib
import multiprocessing
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from fsar_llava.features import (
    Fingerprint,
    TokenShardError,
    TokenStore,
    TokenStoreMismatchError,
    TokenWriter,
    atomic_file,
    token_shard,
    token_store,
)
from fsar_llava.features.atomic_file import write_atomically
from fsar_llava.features.store_care import prune, verify
from fsar_llava.features.token_shard import ForeignShardError, is_intact

IDENTITY = dict(
    backbone=dict(family='video_llava', model='somewhere', fingerprint='f', layer=2, grid=4, dtype='float32'),
    prompts=['What is it?'],
    pipeline=[dict(type='DecordInit'), dict(type='SampleFrames', num_clips=8)],
    data_preprocessor=dict(mean=[1.0, 2.0], std=[1.0, 1.0]),
    dtype='float32',
)
PRINT = Fingerprint(3, 4, 'abc')


def tokens(number: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(number)
    visual = torch.randn(4, 2, 6, generator=generator).to(dtype)
    return visual, {'What is it?': torch.randn(3 + number % 2, 6, generator=generator).to(dtype)}


def fill(folder: Path, numbers: range, **options: int) -> None:
    with TokenWriter(folder, IDENTITY, **options) as writer:
        for number in numbers:
            writer.add(f'a b/{number}.mp4', PRINT, *tokens(number))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
def test_round_trip(tmp_path: Path, dtype: str) -> None:
    with TokenWriter(tmp_path, {**IDENTITY, 'dtype': dtype}, shard_videos=2) as writer:
        for number in range(5):
            writer.add(f'{number}.mp4', PRINT, *tokens(number))
    store = TokenStore(tmp_path)
    assert len(store) == 5
    assert len(store.shards()) == 3
    for number in range(5):
        visual, textual = tokens(number, getattr(torch, dtype))
        found = store.read(f'{number}.mp4')
        assert torch.equal(found.visual, visual)
        assert found.textual.keys() == textual.keys()
        assert torch.equal(found.textual['What is it?'], textual['What is it?'])


def test_a_video_is_found_by_any_path_that_ends_in_its_name(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('1.mp4', PRINT, *tokens(2))
    store = TokenStore(tmp_path)
    for path in ('a b/1.mp4', './a b/1.mp4', '/data/videos/a b/1.mp4', '../x/../a b//1.mp4'):
        assert store.find(path).video == 'a b/1.mp4'
    assert store.find('./1.mp4').video == '1.mp4'
    with pytest.raises(KeyError, match=r"no video 'b/0\.mp4'.* 3 videos, such as '"):
        store.find('b/0.mp4')


def test_a_name_stands_for_no_other_video(tmp_path: Path) -> None:
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('x.mp4', PRINT, *tokens(0))
    store = TokenStore(tmp_path)
    for ask in (store.entry, store.read):
        with pytest.raises(KeyError, match=r"no video 'other/x\.mp4'"):
            ask('other/x.mp4')


def test_shards_are_bounded_in_bytes(tmp_path: Path) -> None:
    fill(tmp_path, range(6), shard_bytes=2 * 4 * (4 * 2 * 6 + 3 * 6))
    assert len(TokenStore(tmp_path).shards()) == 3


def test_the_latest_entry_of_a_video_counts(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('a b/1.mp4', PRINT, *tokens(7))
    store = TokenStore(tmp_path)
    assert torch.equal(store.read('a b/1.mp4').visual, tokens(7)[0])
    assert [entry.video for entry in store.superseded] == ['a b/1.mp4']


def test_the_latest_files_count_whatever_they_are_called(tmp_path: Path) -> None:
    for begin in (0, 8):
        with TokenWriter(tmp_path, IDENTITY, shard_videos=1) as writer:
            for number in range(8):
                writer.add(f'{number}.mp4', PRINT, *tokens(begin + number))
    store = TokenStore(tmp_path)
    assert len(store.shards()) == 16
    for number in range(8):
        assert torch.equal(store.read(f'{number}.mp4').visual, tokens(8 + number)[0])


def test_files_are_kept_open_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(5), shard_videos=1)
    store = TokenStore(tmp_path)
    monkeypatch.setattr(token_store, 'OPEN_BYTES', 2 * max(shard.stat().st_size for shard in store.shards()))
    for number in (*range(5), 3):
        assert torch.equal(store.read(f'a b/{number}.mp4').visual, tokens(number)[0])
    assert list(store._files) == [store.videos[f'a b/{number}.mp4'].shard for number in (4, 3)]


def test_small_files_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(40), shard_videos=1)
    store = TokenStore(tmp_path)
    opened = []
    monkeypatch.setattr(token_store, 'open_shard', lambda shard: opened.append(shard) or token_shard.open_shard(shard))
    for number in (*range(40), *range(40)):
        store.read(f'a b/{number}.mp4')
    assert len(opened) == 40


@pytest.mark.parametrize('error', [KeyError, KeyboardInterrupt])
def test_an_error_elsewhere_loses_nothing_that_was_collected(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with TokenWriter(tmp_path, IDENTITY) as writer:
            writer.add('0.mp4', PRINT, *tokens(0))
            raise error

    with pytest.raises(error):
        fail()
    assert torch.equal(TokenStore(tmp_path).read('0.mp4').visual, tokens(0)[0])


@pytest.mark.parametrize('share', [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_shard_is_named(tmp_path: Path, share: float) -> None:
    fill(tmp_path, range(4), shard_videos=2)
    shard = TokenStore(tmp_path).shards()[0]
    os.truncate(shard, int(share * shard.stat().st_size))
    with pytest.raises(TokenShardError, match=shard.name):
        TokenStore(tmp_path)
    rest = TokenStore(tmp_path, skip_damaged=True)
    assert list(rest.damaged) == [shard]
    assert len(rest) == 2


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    (shard,) = TokenStore(tmp_path).shards()
    content = bytearray(shard.read_bytes())
    assert is_intact(shard)
    for position in range(0, len(content), 97):
        flipped = bytearray(content)
        flipped[position] ^= 4
        shard.write_bytes(flipped)
        assert not is_intact(shard)
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the last byte belongs to a tensor
    store = TokenStore(tmp_path)
    with pytest.raises(TokenShardError, match=shard.name):
        [store.read(video) for video in store.videos]


def flips(content: bytes, end: int) -> Iterator[bytes]:
    """With one of the first bits flipped, every fifth in turn."""
    for position in range(0, 8 * end, 5):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


def read_what_can_be_read(folder: Path, numbers: range, **options: bool) -> None:
    store = TokenStore(folder, **options)
    assert store.damaged or store.videos.keys() == {f'a b/{number}.mp4' for number in numbers}
    for number in numbers if store.videos else ():
        found, (visual, textual) = store.read(f'a b/{number}.mp4'), tokens(number)
        assert torch.equal(found.visual, visual)
        assert found.textual.keys() == textual.keys()
        assert all(torch.equal(found.textual[prompt], textual[prompt]) for prompt in textual)


def complaint(error: type[Exception], use: Callable[..., object], *args: object, **options: bool) -> str:
    """What a use complains of, empty if it works; another error goes through."""
    try:
        use(*args, **options)
    except error as raised:
        return str(raised)
    return ''


def test_flipped_bits_of_a_header_end_in_named_errors_only(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    (shard,) = TokenStore(tmp_path).shards()
    content = shard.read_bytes()
    complaints = set()
    for flipped in flips(content, 8 + int.from_bytes(content[:8], 'little')):
        shard.write_bytes(flipped)
        for skip in (False, True):
            complaints.add(complaint(TokenShardError, read_what_can_be_read, tmp_path, range(2), skip_damaged=skip))
        assert list(verify(tmp_path)) == [shard]
        assert prune(tmp_path, broken=True)['files'] == 1
        assert not shard.exists()
    assert complaints > {''}
    assert all(str(shard) in text for text in complaints if text)


def test_flipped_bits_of_a_manifest_end_in_named_errors_only(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    manifest = tmp_path / 'manifest.json'
    content = manifest.read_bytes()
    complaints = set()
    for damaged in (*flips(content, len(content)), b'', b'[]', b'3', b'{"format": 1}'):
        manifest.write_bytes(damaged)
        complaints.add(complaint(ValueError, read_what_can_be_read, tmp_path, range(2)))
        complaints.add(complaint(ValueError, verify, tmp_path))
        complaints.add(complaint(ValueError, prune, tmp_path, broken=True))
    assert complaints > {''}
    assert all(str(manifest) in text for text in complaints if text)
    manifest.write_bytes(content)
    read_what_can_be_read(tmp_path, range(2))


def test_tokens_are_not_handed_out_under_another_name(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    (shard,) = TokenStore(tmp_path).shards()
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b'a b/1.mp4', b'a b/0.mp4'))
    with pytest.raises(TokenShardError, match=f'{shard.name}.*header does not have its checksum'):
        TokenStore(tmp_path)
    shard.write_bytes(content.replace(b'"checksum"', b'"no check"'))  # as shards were once written
    read_what_can_be_read(tmp_path, range(2))


def put_a_foreign_shard(folder: Path) -> Path:
    """Into the folder of a store, from a store beside it of another identity."""
    with TokenWriter(folder.with_name('other'), {**IDENTITY, 'prompts': ['Else?']}) as writer:
        writer.add('x.mp4', PRINT, *tokens(0))
    (shard,) = TokenStore(writer.manifest.folder).shards()
    return shard.rename(folder / shard.name)


def test_a_shard_of_another_store_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / 'one', range(1))
    foreign = put_a_foreign_shard(tmp_path / 'one')
    with pytest.raises(ForeignShardError, match=f'{foreign.name}.*another store'):
        TokenStore(tmp_path / 'one')


@pytest.mark.parametrize('metadata', [None, dict(format='pt')])
def test_a_file_that_only_has_the_name_of_a_shard_is_refused(tmp_path: Path, metadata: dict | None) -> None:
    fill(tmp_path, range(1))
    content = save(dict(x=torch.zeros(1)), metadata)
    name = f'tokens-{hashlib.sha256(content).hexdigest()[:32]}.safetensors'
    (tmp_path / name).write_bytes(content)
    assert is_intact(tmp_path / name)
    with pytest.raises(ForeignShardError, match=f'{name} is no token shard as this version .*Move it out'):
        TokenStore(tmp_path)


def changed(path: tuple, value: object) -> dict:
    identity = copy.deepcopy(IDENTITY)
    target = identity
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return identity


CHANGES = {
    'prompts[0]': (('prompts', 0), 'Else?'),
    'backbone.layer': (('backbone', 'layer'), 3),
    'pipeline[1].num_clips': (('pipeline', 1, 'num_clips'), 16),
    'backbone.fingerprint': (('backbone', 'fingerprint'), 'g'),
    'backbone.dtype': (('backbone', 'dtype'), 'bfloat16'),
    'backbone.grid': (('backbone', 'grid'), 16),
    'dtype': (('dtype',), 'bfloat16'),
    'data_preprocessor.mean[0]': (('data_preprocessor', 'mean', 0), 3.0),
}


@pytest.mark.parametrize('field', CHANGES)
@pytest.mark.parametrize('how', ['write', 'read'])
def test_another_identity_is_refused_with_field_and_values(tmp_path: Path, field: str, how: str) -> None:
    fill(tmp_path, range(1))
    path, value = CHANGES[field]
    old = IDENTITY
    for key in path:
        old = old[key]
    attempt = TokenWriter if how == 'write' else lambda folder, expect: TokenStore(folder, expect=expect)
    with pytest.raises(TokenStoreMismatchError) as caught:
        attempt(tmp_path, changed(path, value))
    assert f'{field}: store {old!r}, config {value!r}' in str(caught.value)
    assert str(caught.value).count(': store ') == 1


def test_an_expectation_may_name_few_fields(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    assert len(TokenStore(tmp_path, expect=dict(backbone=dict(layer=2)))) == 1
    with pytest.raises(TokenStoreMismatchError, match=r'pipeline\[1\]'):
        TokenStore(tmp_path, expect=dict(pipeline=[dict(type='DecordInit')]))


def test_what_no_identity_can_hold_is_named(tmp_path: Path) -> None:
    for value in (Path('x'), lambda: 0):
        with pytest.raises(TypeError, match=r'(Path|lambda).* of type .* cannot be part of an identity.*of the config'):
            TokenWriter(tmp_path / 'store', changed(('pipeline', 0, 'type'), value))
    assert not (tmp_path / 'store').exists()


def test_where_the_model_was_loaded_from_does_not_matter(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    with TokenWriter(tmp_path, changed(('backbone', 'model'), 'elsewhere')) as writer:
        writer.add('x.mp4', PRINT, *tokens(0))
    assert len(TokenStore(tmp_path)) == 2


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, range(1))
    manifest = tmp_path / 'manifest.json'
    manifest.write_text(manifest.read_text().replace('"layer": 2', '"layer": 3'))
    with pytest.raises(ValueError, match='was edited'):
        TokenStore(tmp_path)


def test_a_data_set_is_no_store(tmp_path: Path) -> None:
    (tmp_path / 'manifest.json').write_text('{"format": 1, "videos": 3}')
    with pytest.raises(ValueError, match=r'manifest\.json is not that of a token store\. Give another folder'):
        TokenStore(tmp_path)


def test_a_folder_without_manifest_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='extract_tokens'):
        TokenStore(tmp_path)


def test_many_writers_fill_one_store(tmp_path: Path) -> None:
    parts = [range(0, 20), range(10, 30), range(20, 40)]  # overlapping, as two extractions at once
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda part: fill(tmp_path, part, shard_videos=3), parts))
    store = TokenStore(tmp_path)
    assert len(store) == 40
    for number in range(40):
        assert torch.equal(store.read(f'a b/{number}.mp4').visual, tokens(number)[0])
    assert all(is_intact(shard) for shard in store.shards())
    assert not list(tmp_path.glob('.*'))


def test_only_one_of_two_identities_begins_a_store(tmp_path: Path) -> None:
    def begin(number: int) -> bool:
        try:
            TokenWriter(tmp_path, {**IDENTITY, 'prompts': [str(number)]})
        except TokenStoreMismatchError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


@pytest.mark.parametrize('error', [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def link(*args: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, 'link', link)
    for number in range(2):
        with TokenWriter(tmp_path, IDENTITY) as writer:
            writer.add(f'{number}.mp4', PRINT, *tokens(number))
    assert len(TokenStore(tmp_path)) == 2
    with pytest.raises(FileExistsError, match=r'File exists: .*manifest\.json'):
        write_atomically(tmp_path / 'manifest.json', b'', exclusive=True)
    assert not list(tmp_path.glob('.writing-*'))


def test_a_full_disk_leaves_a_store_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(3))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    writer = TokenWriter(tmp_path, IDENTITY, shard_videos=2)
    writer.add('new/0.mp4', PRINT, *tokens(8))
    writer.add('new/1.mp4', PRINT, *tokens(9))
    monkeypatch.setattr(atomic_file.os, 'fsync', full)
    writer.add('new/2.mp4', PRINT, *tokens(9))
    with pytest.raises(OSError, match='The 2 videos') as caught, writer:
        writer.flush()
    assert caught.value.errno == errno.ENOSPC
    assert 'run the same command again' in str(caught.value)
    monkeypatch.undo()
    assert len(TokenStore(tmp_path)) == 5
    assert not list(tmp_path.glob('.*'))


def test_a_full_disk_begins_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(atomic_file.os, 'fsync', full)
    with pytest.raises(OSError, match=r'No space left .*Free some space.*same command again: .*manifest\.json'):
        TokenWriter(tmp_path, IDENTITY)
    assert not list(tmp_path.iterdir())


def _write_beyond_the_limit(folder: Path, answer: multiprocessing.Queue) -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
    try:
        fill(folder, range(3, 40))
    except OSError as error:
        answer.put(str(error))
    else:
        answer.put('')


def test_the_kernel_refusing_to_write_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    context = multiprocessing.get_context('fork')
    answer = context.Queue()
    process = context.Process(target=_write_beyond_the_limit, args=(tmp_path, answer))
    process.start()
    assert 'videos that were written before are safe' in answer.get(timeout=30)
    process.join()
    assert len(TokenStore(tmp_path)) == 3
    assert not list(tmp_path.glob('.*'))


def _read(store: TokenStore) -> float:
    return float(store.read('a b/0.mp4').visual.sum())


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_read_too(tmp_path: Path, method: str) -> None:
    fill(tmp_path, range(1))
    store = TokenStore(tmp_path)
    expected = _read(store)
    if method == 'spawn':
        assert _read(pickle.loads(pickle.dumps(store))) == expected
        return
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    process = context.Process(target=lambda: answer.put(_read(store)))
    process.start()
    assert answer.get(timeout=30) == expected
    process.join()


def test_a_replaced_video_is_noticed(tmp_path: Path) -> None:
    video = tmp_path / '0.mp4'
    video.write_bytes(b'one')
    with TokenWriter(tmp_path / 'store', IDENTITY) as writer:
        writer.add('0.mp4', Fingerprint.of(video), *tokens(0))
    store = TokenStore(tmp_path / 'store')
    entry = store.find(str(video))
    store.check_content(entry, video)
    os.utime(video, ns=(1, 1))  # touched, not changed
    store.check_content(entry, video)
    video.write_bytes(b'two')
    with pytest.raises(ValueError, match=r'0\.mp4 was replaced'):
        store.check_content(entry, video)
    video.write_bytes(b'longer')
    with pytest.raises(ValueError, match=r'0\.mp4 was replaced'):
        store.check_content(entry, video)
    video.unlink()
    store.check_content(entry, video)


def test_a_replaced_frame_is_noticed(tmp_path: Path) -> None:
    for name in ('1.jpg', '2.jpg'):
        (tmp_path / name).write_bytes(name.encode())
    before = Fingerprint.of(tmp_path)
    assert before.matches(tmp_path)
    (tmp_path / '2.jpg').write_bytes(b'3.jpg')
    os.utime(tmp_path / '2.jpg', ns=(9, before.mtime_ns + 9))
    assert not before.matches(tmp_path)


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ((b'ab', b'c'), (b'a', b'bc')),
        ((b'a2.jpg:b', b'c'), (b'a', b'b2.jpg:c')),  # names alone do not tell where a file ends
    ],
)
def test_bytes_that_move_to_the_next_frame_are_noticed(tmp_path: Path, old: tuple, new: tuple) -> None:
    def write(contents: tuple, time: int) -> None:
        for name, content in zip(('1.jpg', '2.jpg'), contents):
            (tmp_path / name).write_bytes(content)
            os.utime(tmp_path / name, ns=(time, time))

    write(old, 1)
    before = Fingerprint.of(tmp_path)
    write(new, 2)
    assert not before.matches(tmp_path)
    write(old, 2)
    assert before.matches(tmp_path)
