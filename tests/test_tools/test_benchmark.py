"""The benchmark measures what it says."""

from __future__ import annotations

import pytest
import torch

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from tests.conftest import load_tool

tool = load_tool('tools/analysis/benchmark.py')
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


def test_extraction_of_a_miniature() -> None:
    rows = tool.measure_extraction(torch.device('cpu'), ARCHITECTURE, 2, torch.float32)
    assert {name for name, *_ in rows} >= {'ours / naive', 'naive way, videos/s', '25 prompts / 1 prompt, time'}
    assert all(value > 0 for name, value, _ in rows if 'memory' not in name)


@pytest.mark.skipif(torch.cuda.is_available(), reason='says what it does without a GPU')
def test_without_a_gpu_extraction_is_skipped(capsys: pytest.CaptureFixture) -> None:
    tool.main(['--parts', 'extraction'])
    assert 'needs a CUDA GPU: skipped' in capsys.readouterr().out
