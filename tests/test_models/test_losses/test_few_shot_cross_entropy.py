import math

import pytest
import torch

from fsar_llava import EpisodeBatch
from fsar_llava.models import FewShotCrossEntropy
from fsar_llava.structures import EpisodeScores
from tests.factories import episode_samples


@pytest.fixture
def batch():
    return EpisodeBatch.from_samples(episode_samples(3, 1, 2) + episode_samples(3, 1, 2, episode_id=1))


def oracle(logits, ways):
    """Sum over the queries of each episode of the negative log softmax, by hand."""
    total = 0.0
    for episode in range(logits.shape[0]):
        for query in range(logits.shape[1]):
            row = [float(value) for value in logits[episode, query]]
            total -= row[ways[episode][query]] - math.log(sum(math.exp(value) for value in row))
    return total


@pytest.mark.parametrize(('reduction', 'divisor'), [('mean', 12), ('sum', 2)])
def test_value(batch, reduction, divisor):
    logits = torch.randn(2, 6, 3, dtype=torch.float64)
    loss = FewShotCrossEntropy(reduction=reduction, loss_weight=0.5)(EpisodeScores(logits), batch)
    assert list(loss) == ['loss_q2s']
    assert float(loss['loss_q2s']) == pytest.approx(0.5 * oracle(logits, batch.query_way.tolist()) / divisor)


def test_parts_are_supervised_one_by_one(batch):
    parts = {'visual': torch.randn(2, 6, 3), 'textual': torch.randn(2, 6, 3)}
    losses = FewShotCrossEntropy(parts=('visual', 'textual'))(EpisodeScores(torch.randn(2, 6, 3), parts), batch)
    assert set(losses) == {'loss_q2s_visual', 'loss_q2s_textual'}
    for name, logits in parts.items():
        assert float(losses[f'loss_q2s_{name}']) == pytest.approx(
            oracle(logits, batch.query_way.tolist()) / 12, rel=1e-5
        )


def test_missing_part_is_named(batch):
    with pytest.raises(KeyError, match='textual'):
        FewShotCrossEntropy(parts=('textual',))(EpisodeScores(torch.zeros(2, 6, 3)), batch)


def test_parts_without_a_list_are_refused():
    with pytest.raises(ValueError, match=r"list of names, but is 'textual'. Write \['textual'\]"):
        FewShotCrossEntropy(parts='textual')
    with pytest.raises(ValueError, match='parts names none, which leaves no loss'):
        FewShotCrossEntropy(parts=[])


def test_part_of_the_supports_is_refused():
    with pytest.raises(ValueError, match='SupportTextCrossEntropy'):
        FewShotCrossEntropy(parts=['query_text', 'support_text'])


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="'max'"):
        FewShotCrossEntropy(reduction='max')
