"""The results of a test episode by episode, and of one with a feature bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch
from mmaction.registry import LOOPS, METRICS
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger
from torch import nn
from torch.utils.data import DataLoader

STAMPS = ('episode_id', 'episode_digest', 'class_names', 'class_ids', 'num_shots', 'query_names', 'unreadable')


@METRICS.register_module(force=True)
class KeepResults(BaseMetric):
    """Keeps what it is given."""

    default_prefix = 'kept'

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict:
        hits = torch.cat([(result['pred_label'] == result['gt_label']).float() for result in results])
        return dict(acc=100 * float(hits.mean()), episodes=len(results), results=results)


def stir(model: nn.Module) -> None:
    """Fill what is initialised with zeros: it would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)


def bank_results(model: nn.Module, episodes: DataLoader) -> list[dict]:
    """What ``FeatureBankTestLoop`` makes of the episodes of a dataloader, without a runner around it."""
    runner = SimpleNamespace(
        model=model, call_hook=lambda *args, **kwargs: None, logger=MMLogger.get_current_instance()
    )
    loop = LOOPS.build(
        dict(type='FeatureBankTestLoop', runner=runner, dataloader=episodes, evaluator=Evaluator([KeepResults()]))
    )
    return loop.run()['kept/results']


def assert_equal_results(one: Sequence[Mapping], other: Sequence[Mapping]) -> None:
    """The same episodes with the same probabilities, which are not all alike."""
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other):
        for key in STAMPS:
            assert mine[key] == theirs[key]
        assert torch.equal(mine['gt_label'], theirs['gt_label'])
        torch.testing.assert_close(mine['pred_scores'], theirs['pred_scores'], atol=1e-5, rtol=1e-5)
    assert float(torch.stack([result['pred_scores'] for result in one]).std()) > 1e-3
