"""Episodes from a bank: portions of any size give what the head gives."""

from __future__ import annotations

import weakref

import pytest
import torch
from mmaction.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops import episode_scorer
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.structures import EpisodeBatch

EPISODES, WAYS, SHOTS, QUERIES = 7, 3, 2, 4


def random_plan(ways: int = WAYS, shots: int = SHOTS, queries: int = QUERIES) -> EpisodePlan:
    rows = torch.randint(20, (EPISODES, ways * shots + queries), generator=torch.Generator().manual_seed(0))
    return EpisodePlan(
        EpisodeBatch(
            support_index=rows[:, queries:].view(-1, ways, shots),
            query_index=rows[:, :queries],
            query_way=torch.zeros(EPISODES, queries, dtype=torch.long),
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


class PeakMemory(TorchDispatchMode):
    """The most bytes of tensors made inside that exist at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.alive: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            weakref.finalize(storage, self._forget, key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _forget(self, key: int) -> None:
        self.now -= self.alive.pop(key)


def test_scoring_fits_on_a_small_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a model and its optimiser, whatever a head makes of the features that are gathered."""
    generator = torch.Generator().manual_seed(1)
    texts, mask = torch.randn(20, 1, 64, generator=generator), torch.ones(20, 1, dtype=torch.bool)
    bank = VideoFeatures(torch.randn(20, 8, 64, generator=generator), texts, mask)
    modulation = dict(type='TextModulation', channels=64, ffn_channels=4 * 64)
    head = MODELS.build(dict(type='PrototypeHead', matching=dict(type='OTAM'), modulation=modulation)).eval()
    features = EPISODES * (5 * 5 + 5) * (bank.visual[0].nbytes + texts[0].nbytes)
    monkeypatch.setitem(episode_scorer.FEATURE_BYTES, 'cpu', features)
    with torch.no_grad(), PeakMemory() as memory:
        EpisodeScorer(head, bank).logits(random_plan(ways=5, shots=5, queries=5))
    assert memory.peak > features
    assert memory.peak / features * episode_scorer.FEATURE_BYTES['cuda'] < 4e9
