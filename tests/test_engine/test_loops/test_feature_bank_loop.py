"""The feature bank gives what the per-episode loop gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.test_configs import LEAVES

OTAM_2D = 'otam/otam_resnet18_5way-1shot_toy-motion.py'


def assert_equal_results(one: list[dict], other: list[dict]) -> None:
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other):
        for key in ('episode_id', 'episode_digest', 'class_names', 'class_ids'):
            assert mine[key] == theirs[key]
        assert torch.equal(mine['gt_label'], theirs['gt_label'])
        torch.testing.assert_close(mine['pred_scores'], theirs['pred_scores'], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('leaf', LEAVES)
def test_equal_to_the_loop_over_episodes(run_test: Callable[..., dict], leaf: str) -> None:
    one = run_test(leaf)
    other = run_test(leaf, type='FeatureBankTestLoop', video_batch_size=3, episode_batch_size=3)
    assert_equal_results(one['kept/results'], other['kept/results'])
    scores = torch.stack([result['pred_scores'] for result in one['kept/results']])
    assert float(scores.std()) > 1e-5
