"""Which tokens a video gets, and that they are read once and kept in memory."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from mmaction.registry import TRANSFORMS
from torch.utils.data import DataLoader

from fsar_llava.datasets import EpisodicDataset
from fsar_llava.features import Fingerprint, TokenShardError, TokenWriter

PROMPT = 'What is it?'
BYTES = 4 * (4 * 2 * 6 + 3 * 6) + 8 * 6
"""Of a video: float32 tokens of the video and of the prompt, and two rows of the prompt table."""


def write(folder: Path, names: Sequence[str]) -> Path:
    """A store in which the tokens of a video are its place among the names."""
    identity = dict(backbone=dict(family='any'), prompts=[PROMPT], pipeline=[], data_preprocessor={}, dtype='float32')
    with TokenWriter(folder, identity) as writer:
        for number, name in enumerate(names):
            writer.add(name, Fingerprint(3, 4, 'abc'), torch.full((4, 2, 6), number), {PROMPT: torch.ones(3, 6)})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / 'store', ['0.mp4', '1.mp4', '2.mp4'])


def load(transform: object, number: int) -> dict:
    return transform(dict(filename=f'{number}.mp4'))


def damage(store: Path) -> None:
    """Flip all bits of the tokens of all videos."""
    for shard in store.glob('*.safetensors'):
        content = shard.read_bytes()
        begin = 8 + int.from_bytes(content[:8], 'little')
        shard.write_bytes(content[:begin] + bytes(255 - byte for byte in content[begin:]))


LISTS = {
    'here': ('VideoDataset', 'a/x.mp4 0\nx.mp4 1\na/y.mp4 0\n', dict(data_prefix=dict(video='.'))),
    'above': ('VideoDataset', 'a/x.mp4 0\nx.mp4 1\n', dict(data_prefix=dict(video='./../videos'))),
    'no prefix': ('VideoDataset', '/videos/a/x.mp4 0\n/videos/x.mp4 1\n', dict()),
    'dots in the list': ('VideoDataset', './a/x.mp4 0\nx.mp4 1\n', dict()),
    'segments': ('RawframeDataset', 'a 0 9 0\na 9 9 1\nb 0 9 0\n', dict(with_offset=True)),
}


@pytest.mark.parametrize('key', LISTS)
def test_every_video_gets_its_own_tokens(tmp_path: Path, key: str) -> None:
    kind, lines, settings = LISTS[key]
    (tmp_path / 'list.txt').write_text(lines)
    dataset = EpisodicDataset(dict(type=kind, ann_file=str(tmp_path / 'list.txt'), pipeline=[], **settings), 1)
    transform = TRANSFORMS.build(
        dict(type='LoadVideoTokens', store=str(write(tmp_path / 'store', dataset.video_names)), check_content=False)
    )
    dataset.dataset.pipeline.transforms = [transform]
    for index in range(len(dataset.video_names)):
        assert dataset.load_video(index)['visual'].unique().tolist() == [index]
        assert dataset.dataset[index]['visual'].unique().tolist() == [index]  # MMAction2's own way knows the path only


def test_a_video_that_was_not_extracted_gets_no_tokens(tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text('a/x.mp4 0\nx.mp4 1\n')
    pipeline = [dict(type='LoadVideoTokens', store=str(write(tmp_path / 'store', ['x.mp4'])))]
    dataset = EpisodicDataset(dict(type='VideoDataset', ann_file=str(tmp_path / 'list.txt'), pipeline=pipeline), 1)
    with pytest.raises(RuntimeError, match=r"holds no video 'a/x\.mp4' \(it holds 1 videos, such as 'x\.mp4'\)"):
        dataset.load_video(0)
    assert dataset.load_video(1)['visual'].unique().tolist() == [0]


def test_what_was_read_is_kept(store: Path) -> None:
    transform = TRANSFORMS.build(dict(type='LoadVideoTokens', store=str(store)))
    before = [copy.deepcopy(load(transform, number)) for number in range(3)]
    damage(store)
    for number, found in enumerate(before):
        again = load(transform, number)
        assert again['visual'].unique().tolist() == [number]
        assert all(torch.equal(again[name], found[name]) for name in ('visual', 'textual', 'prompts'))


@pytest.mark.parametrize(('keep_bytes', 'kept'), [(0, 0), (BYTES - 1, 0), (BYTES, 1), (2 * BYTES + 1, 2)])
def test_no_more_than_fits_is_kept(store: Path, keep_bytes: int, kept: int) -> None:
    transform = TRANSFORMS.build(dict(type='LoadVideoTokens', store=str(store), keep_bytes=keep_bytes))
    for number in range(3):
        load(transform, number)
    damage(store)
    for number in range(kept):
        load(transform, number)
    for number in range(kept, 3):
        with pytest.raises(TokenShardError, match='altered'):
            load(transform, number)


def test_another_process_reads_its_own(store: Path) -> None:
    transform = TRANSFORMS.build(dict(type='LoadVideoTokens', store=str(store)))
    load(transform, 0)
    other = pickle.loads(pickle.dumps(transform))
    damage(store)
    with pytest.raises(TokenShardError, match='altered'):
        load(other, 0)


class Tokens:
    """A dataset of the tokens of the videos, and of how many tensors its process keeps in shared memory."""

    def __init__(self, store: Path) -> None:
        self.transform = TRANSFORMS.build(dict(type='LoadVideoTokens', store=str(store)))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[dict, int]:
        kept = [tensor for tokens in self.transform._kept.values() for tensor in tokens.values()]
        return load(self.transform, number), sum(tensor.is_shared() for tensor in kept)


def test_a_worker_keeps_nothing_that_it_hands_over(store: Path) -> None:
    loader = DataLoader(Tokens(store), batch_size=None, num_workers=1, persistent_workers=True)
    for _ in range(3):
        found = list(loader)
        assert [tokens['visual'].unique().item() for tokens, _ in found] == [0, 1, 2]
    assert [shared for _, shared in found] == [0, 0, 0]
