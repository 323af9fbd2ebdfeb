"""Processes that see different amounts of free memory still score every episode once."""

from __future__ import annotations

from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine import dist

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops import episode_scorer
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from tests.test_engine.test_loops.test_episode_scorer import random_plan

PROCESSES = 2


def score(rank: int, folder: str) -> None:
    torch.distributed.init_process_group('gloo', f'file://{folder}/meet', rank=rank, world_size=PROCESSES)
    if rank == 1:
        episode_scorer.free_memory = lambda device: 1
    # Portions of three prepared episodes, or of one where nothing was prepared.
    episode_scorer.PREPARED_BYTES['cpu'], episode_scorer.FEATURE_BYTES['cpu'] = 2160, 1
    scorer = EpisodeScorer(build_head(), VideoFeatures(features()))
    torch.save(scorer.logits(random_plan()), f'{folder}/{rank}.pt')
    dist.barrier()
    torch.distributed.destroy_process_group()


def build_head() -> torch.nn.Module:
    return MODELS.build(dict(type='PrototypeHead', matching=dict(type='OTAM'))).eval()


def features() -> torch.Tensor:
    return torch.randn(20, 5, 6, generator=torch.Generator().manual_seed(1))


def test_each_episode_is_scored_once(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(score, (str(tmp_path),), nprocs=PROCESSES)
    expected = EpisodeScorer(build_head(), VideoFeatures(features())).logits(random_plan())
    for rank in range(PROCESSES):
        torch.testing.assert_close(torch.load(tmp_path / f'{rank}.pt'), expected)
