import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.prototypes import MeanPrototype

from ..test_layers.loops import features, numbers, pad_text

LENGTHS = [4, 2, 3, 3, 1, 4, 2, 2, 0, 0, 0, 0]


@pytest.mark.parametrize('value', [None, float('nan')])
def test_equals_plain_loops(value):
    support = features((2, 3, 2), (3,), LENGTHS)
    support = support if value is None else pad_text(support, 0, value)
    result = MeanPrototype()(support)
    assert result.visual.shape == (2, 3, 1, 3, 8)
    for episode in range(2):
        for way in range(3):
            first, second = numbers(support.visual[episode, way])
            torch.testing.assert_close(result.visual[episode, way, 0], torch.tensor((first + second) / 2))
            for token in range(4):
                valid = support.textual_mask[episode, way, :, token].tolist()
                shots = numbers(support.textual[episode, way, :, token])
                shots = [shot for shot, flag in zip(shots, valid) if flag]
                expected = sum(shots) / len(shots) if shots else np.zeros(8)
                torch.testing.assert_close(result.textual[episode, way, 0, token], torch.tensor(expected))
                assert result.textual_mask[episode, way, 0, token] == any(valid)


def test_one_shot_is_its_own_prototype():
    support = features((1, 3, 1), (3,))
    result = MODELS.build(dict(type='MeanPrototype'))(support, query=None)
    assert torch.equal(result.visual, support.visual)
    assert result.textual is None


def test_has_no_parameters():
    assert list(MeanPrototype().parameters()) == []
