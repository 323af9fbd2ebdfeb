"""Tokens that are read once and kept in memory."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from mmaction.registry import TRANSFORMS

from fsar_llava.features import Fingerprint, TokenShardError, TokenWriter

PROMPT = 'What is it?'
BYTES = 4 * (4 * 2 * 6 + 3 * 6) + 8 * 3
"""Of a video: float32 tokens of the video and of the prompt, and a row of the prompt table."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    identity = dict(backbone=dict(family='any'), prompts=[PROMPT], pipeline=[], data_preprocessor={}, dtype='float32')
    with TokenWriter(tmp_path / 'store', identity) as writer:
        for number in range(3):
            writer.add(
                f'{number}.mp4', Fingerprint(3, 4, 'abc'), torch.full((4, 2, 6), number), {PROMPT: torch.ones(3, 6)}
            )
    return tmp_path / 'store'


def load(transform: object, number: int) -> dict:
    return transform(dict(filename=f'{number}.mp4'))


def damage(store: Path) -> None:
    """Flip all bits of the tokens of all videos."""
    for shard in store.glob('*.safetensors'):
        content = shard.read_bytes()
        begin = 8 + int.from_bytes(content[:8], 'little')
        shard.write_bytes(content[:begin] + bytes(255 - byte for byte in content[begin:]))


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
