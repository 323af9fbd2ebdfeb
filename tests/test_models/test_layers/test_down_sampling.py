import pytest
import torch

from fsar_llava.models.layers import DownSampling

from .loops import features, linear, norm, numbers, pad_text, perturb

FEATS = features((2,), (3, 4), [4, 2], width=6)


def make():
    return perturb(DownSampling(6, 8))


def test_both_modalities_go_through_the_same_norm_and_linear():
    layer = make()
    result = layer(FEATS)
    for video in range(2):
        for frame in range(3):
            for patch in range(4):
                expected = linear(layer.linear, norm(layer.norm, numbers(FEATS.visual[video, frame, patch])))
                torch.testing.assert_close(result.visual[video, frame, patch], torch.tensor(expected))
        for token in range(4):
            expected = linear(layer.linear, norm(layer.norm, numbers(FEATS.textual[video, token])))
            expected = expected if FEATS.textual_mask[video, token] else 0 * expected
            torch.testing.assert_close(result.textual[video, token], torch.tensor(expected))


def test_nan_in_padding_reaches_neither_values_nor_gradients():
    layer = make()
    result = layer(pad_text(FEATS, 2, value=float('nan')))
    (result.textual.square().sum() + result.visual.sum()).backward()
    assert result.textual.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_frame_means_are_one_patch():
    layer = make()
    frames = FEATS.replace(visual=FEATS.visual[:, :, 0])
    torch.testing.assert_close(layer(frames).visual, layer(FEATS).visual[:, :, :1])


def test_without_text():
    assert make()(features((2,), (3, 4), width=6)).textual is None


@pytest.mark.parametrize(
    ('feats', 'error', 'words'),
    [
        (torch.zeros(2, 3, 4, 6), TypeError, 'takes VideoFeatures.*got Tensor'),
        (features((2,), (3, 4), [4, 2], width=5), ValueError, "in_channels=6.*'visual': 5, 'textual': 5"),
        (features((2,), (3, 4, 4), width=6), ValueError, r'but are \[2, 3, 4, 4, 6\]'),
    ],
)
def test_bad_input_is_named(feats, error, words):
    with pytest.raises(error, match=words):
        make()(feats)
