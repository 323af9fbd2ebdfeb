"""Episodes from a bank: portions of any size give what the head gives."""

from __future__ import annotations

import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops import episode_scorer
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.structures import EpisodeBatch

EPISODES, WAYS, SHOTS, QUERIES = 7, 3, 2, 4


def random_plan() -> EpisodePlan:
    rows = torch.randint(20, (EPISODES, WAYS * SHOTS + QUERIES), generator=torch.Generator().manual_seed(0))
    return EpisodePlan(
        EpisodeBatch(
            support_index=rows[:, QUERIES:].view(-1, WAYS, SHOTS),
            query_index=rows[:, :QUERIES],
            query_way=torch.zeros(EPISODES, QUERIES, dtype=torch.long),
            episode_ids=tuple(range(EPISODES)),
            class_names=((),) * EPISODES,
            class_ids=((),) * EPISODES,
            digests=('',) * EPISODES,
            query_names=((),) * EPISODES,
            unreadable=((),) * EPISODES,
        )
    )


@pytest.mark.parametrize(('batch_size', 'fit'), [(1, None), (3, None), (None, 1), (None, 3), (None, EPISODES)])
@pytest.mark.parametrize(
    'matching',
    [
        dict(type='OTAM'),
        dict(type='OTAM', smoothing=0.01, eps=0.01),
        dict(type='BiMHM', eps=0.01),
        dict(type='CosineMatching'),
        dict(type='EuclideanMatching'),
        dict(type='TRX', in_channels=6, num_frames=5),
    ],
    ids=lambda matching: '-'.join(map(str, matching.values())),
)
def test_portions_change_nothing(
    monkeypatch: pytest.MonkeyPatch, matching: dict, batch_size: int | None, fit: int | None
) -> None:
    bank = torch.randn(20, 5, 6, generator=torch.Generator().manual_seed(1))
    head = MODELS.build(dict(type='PrototypeHead', matching=matching, temperature=2.0)).eval()
    plan = random_plan()
    scorer = EpisodeScorer(head, VideoFeatures(bank), batch_size)
    if fit is not None:
        size = max(tensor[0].nbytes for tensor in scorer._prepared.values()) * max(WAYS * SHOTS, QUERIES)
        monkeypatch.setitem(episode_scorer.PREPARED_BYTES, 'cpu', fit * size)
        assert scorer._batch_size(plan) == fit
    logits = scorer.logits(plan)
    expected = head.score(
        VideoFeatures(bank[plan.episodes.support_index]), VideoFeatures(bank[plan.episodes.query_index])
    )
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['OTAM', 'BiMHM'])
def test_autocast_changes_nothing(name: str) -> None:
    bank = torch.randn(20, 5, 6, generator=torch.Generator().manual_seed(1))
    scorer = EpisodeScorer(MODELS.build(dict(type='PrototypeHead', matching=dict(type=name))), VideoFeatures(bank))
    expected = scorer.logits(random_plan())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(scorer.logits(random_plan()), expected, rtol=0, atol=0)
