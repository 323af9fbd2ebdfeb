"""The benchmark measures what it says."""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from tests.conftest import load_tool

tool = load_tool('tools/analysis/benchmark.py')
extraction, known, training = (sys.modules[f'benchmark_{name}'] for name in ('extraction', 'known', 'training'))
ARCHITECTURE = dict(
    vision=dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    ),
    text=dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=1024,
    ),
    seed=0,
)


def test_the_plain_loop_is_otam() -> None:
    bank = torch.randn(tool.VIDEOS, 4, 16, generator=torch.Generator().manual_seed(0))
    plan = tool.random_plan(2)
    ours = EpisodeScorer(tool.head(type='OTAM'), VideoFeatures(bank)).logits(plan)
    torch.testing.assert_close(-ours, tool.plain_otam(plan, bank, 2), atol=1e-4, rtol=1e-4)


def test_peak_memory_is_that_of_the_task_alone() -> None:
    def take(megabytes: int) -> None:
        with mmap.mmap(-1, megabytes << 20) as memory:  # new to the process, whatever it keeps of freed tensors
            for page in range(0, len(memory), mmap.PAGESIZE):
                memory[page] = 1

    take(256)
    assert tool.peak_memory(lambda: take(64)) == pytest.approx(64, abs=16)
    assert tool.peak_memory(lambda: take(128)) == pytest.approx(128, abs=16)


def test_extraction_of_a_miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FSAR_DATA_ROOT', 'set back afterwards')
    rows = list(tool.measure_extraction(torch.device('cpu'), ARCHITECTURE, 2, torch.float32))
    names = {name for name, *_ in rows}
    assert {'ours / naive way', 'ours / naive way, both with decoding', '22 prompts / 1 prompt, time'} <= names
    assert all(value > 0 for _, value, _ in rows)


def test_the_whole_extraction_counts() -> None:
    """Also what lies before its first batch and behind its last one."""

    class Slow:
        def run(self, jobs: list) -> dict:
            time.sleep(0.2)
            return {}

    assert extraction.overlapped(Slow(), [None] * 8, 4) <= 40


def test_operations_are_those_of_the_layers() -> None:
    """Against counting by hand; attention of a causal decoder costs half of what all pairs would."""
    backbone = MODELS.build(dict(type='VideoMLLMBackbone', architecture=ARCHITECTURE, layer=2, dtype='float32'))
    video = torch.zeros(1, extraction.FRAMES, 3, 32, 32)
    found = extraction.operations_of_a_video(backbone, video, ARCHITECTURE, 2)
    frames, patches = extraction.FRAMES, 16
    prefix, words = len('USER: ') + 1 + frames * (patches + 1), len(f'\n{extraction.FIXED_PROMPT} ASSISTANT:')
    vision = frames * patches * 2 * 3 * 64 * 16 + frames * (patches + 1) * 1 * 2 * (4 * 16**2 + 2 * 16 * 32)
    projector = frames * (patches + 1) * 2 * (16 * 32 + 32**2)
    decoder = 2 * (prefix + words) * 2 * (4 * 32**2 + 3 * 32 * 64)
    pairs = sum(token + 1 for token in range(frames * (patches + 1)))  # each token sees itself and those before it
    attention = frames * 4 * (patches + 1) ** 2 * 16 + 2 * 4 * pairs * 32
    assert found == pytest.approx(vision + projector + decoder + attention, rel=0.01)


def test_training_of_a_few_episodes(data_root: Path) -> None:
    rows = dict(row[:2] for row in training.measure_training(data_root / 'toy_motion', 28, factor=1, rounds=1))
    assert rows['store / videos'] == pytest.approx(
        rows['training from the store, episodes/s'] / rows['training from videos, episodes/s']
    )
    assert all(value > 0 for value in rows.values())


def test_the_clock_counts_steady_iterations() -> None:
    clock = training.Clock()
    clock.times = [0.0, 5, 9, 10, 10.5, 11, 11.5, 12, 12.5]  # a slow start, then two a second
    assert clock.rate() == pytest.approx(2)
    clock.times = clock.times[:6]
    with pytest.raises(ValueError, match='too few'):
        clock.rate()


def test_operations_of_known_prompts() -> None:
    assert known.operations_ratio(0) < 1.02
    assert known.operations_ratio(21) == pytest.approx(1.44, abs=0.05)
    # Every further prompt costs the same: the video is not encoded again.
    steps = [known.operations_ratio(n + 10) - known.operations_ratio(n) for n in (10, 100)]
    assert steps[0] == pytest.approx(steps[1])


def test_an_error_costs_no_other_figures(capsys: pytest.CaptureFixture) -> None:
    def measure() -> Iterator[tuple[str, float, str]]:
        yield 'one', 1.0, ''
        raise RuntimeError('out of order')

    assert list(tool.attempt(measure)) == [('one', 1.0, '')]
    assert 'out of order' in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='says what it does without a GPU')
def test_without_a_gpu_extraction_is_skipped(capsys: pytest.CaptureFixture) -> None:
    tool.main(['--parts', 'extraction'])
    assert 'needs a CUDA GPU: skipped' in capsys.readouterr().out
