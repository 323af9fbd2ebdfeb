import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.necks import LinearProjection

from ..test_layers.loops import features, linear, norm, numbers, pad_text, perturb

FEATS = features((2,), (3, 4), [4, 2], width=6)


@pytest.mark.parametrize('feats', [FEATS, pad_text(FEATS, 0, float('nan'))])
def test_equals_plain_loops(feats):
    neck = perturb(LinearProjection(6, 8))
    layer = neck.down_sampling
    result, losses = neck(feats)
    assert losses == {}
    for video in range(2):
        for frame in range(3):
            patches = [linear(layer.linear, norm(layer.norm, patch)) for patch in numbers(feats.visual[video, frame])]
            torch.testing.assert_close(result.visual[video, frame], torch.tensor(sum(patches) / 4))
        for token in range([4, 2][video]):
            expected = linear(layer.linear, norm(layer.norm, numbers(feats.textual[video, token])))
            torch.testing.assert_close(result.textual[video, token], torch.tensor(expected))
    assert (result.textual[~result.textual_mask] == 0).all()


def test_without_text():
    result, _ = LinearProjection(6, 8).double()(features((2,), (3, 4), width=6))
    assert result.textual is None
    assert result.visual.shape == (2, 3, 8)


def test_is_registered_and_needs_its_width():
    neck = MODELS.build(dict(type='LinearProjection', in_channels=6))
    assert neck(FEATS.float(), data_samples=None)[0].visual.shape == (2, 3, 512)
    with pytest.raises(ValueError, match='in_channels=6'):
        neck(features((2,), (3, 4), width=7))
