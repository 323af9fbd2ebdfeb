import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.necks import Centering
from fsar_llava.structures import VideoFeatures

from ..test_layers.loops import features, pad_text

VIDEOS = features((3,), (2, 4), [4, 2, 3], width=6)


def frame(video: torch.Tensor) -> list[list[float]]:
    """Frames ``[T][D]`` of ``[T, P, D]`` or ``[T, D]``, by loops."""
    return [
        [sum(column) / len(patches) for column in zip(*patches)] if isinstance(patches[0], list) else patches
        for patches in video.tolist()
    ]


def mean(tokens: list[list[float]]) -> list[float]:
    return [sum(column) / len(tokens) for column in zip(*tokens)]


def means(batches: list[VideoFeatures]) -> tuple[list[float], list[float]]:
    frames = [token for batch in batches for video in batch.visual for token in frame(video)]
    words = [
        token.tolist()
        for batch in batches
        if batch.textual is not None
        for text, mask in zip(batch.textual, batch.textual_mask)
        for token, valid in zip(text, mask)
        if valid
    ]
    return mean(frames), mean(words) if words else [0.0] * batches[0].visual.shape[-1]


@pytest.mark.parametrize(
    'feats', [VIDEOS, pad_text(VIDEOS, 2, float('nan')), VIDEOS.replace(visual=VIDEOS.visual[:, 0])]
)
def test_equals_plain_loops(feats):
    neck = Centering(6).double()
    neck.visual_mean.copy_(torch.arange(6))
    neck.textual_mean.copy_(torch.arange(6) * 10)
    result, losses = neck(feats)
    assert losses == {}
    for video in range(3):
        expected = [[x - d for d, x in enumerate(token)] for token in frame(feats.visual[video])]
        torch.testing.assert_close(result.visual[video], torch.tensor(expected, dtype=torch.float64))
        for token, valid in enumerate(feats.textual_mask[video].tolist()):
            words = [x - 10 * d if valid else 0.0 for d, x in enumerate(feats.textual[video, token].tolist())]
            torch.testing.assert_close(result.textual[video, token], torch.tensor(words, dtype=torch.float64))
    assert torch.equal(result.textual_mask, feats.textual_mask)


def test_means_of_batches_of_any_size():
    batches = [VIDEOS, pad_text(VIDEOS[:1], 3, float('inf')), features((2,), (5,), width=6, seed=4)]
    neck = Centering(6).double()
    assert neck.fit(iter(batches)) is neck
    visual, textual = means(batches)
    torch.testing.assert_close(neck.visual_mean, torch.tensor(visual, dtype=torch.float64))
    torch.testing.assert_close(neck.textual_mean, torch.tensor(textual, dtype=torch.float64))
    neck.fit([VIDEOS])  # anew, not on top
    torch.testing.assert_close(neck.visual_mean, torch.tensor(means([VIDEOS])[0], dtype=torch.float64))
    assert neck(VIDEOS)[0].visual.mean((0, 1)).abs().max() < 1e-12


def test_sums_keep_their_digits():
    """A large common part and many tokens, in half precision, with the means themselves in single precision."""
    tokens = (1000 + torch.randn(50, 40, 2, 6, generator=torch.Generator().manual_seed(0))).half()
    neck = Centering(6).fit(VideoFeatures(part) for part in tokens.split(1))
    expected = torch.tensor(means([VideoFeatures(tokens)])[0], dtype=torch.float64)
    assert neck.visual_mean.dtype == torch.float32
    torch.testing.assert_close(neck.visual_mean, expected.float(), rtol=2e-7, atol=0)


def test_before_fitting_it_only_averages_patches():
    result, _ = Centering(6).double()(VIDEOS)
    torch.testing.assert_close(result.visual, VIDEOS.visual.mean(2))
    result, _ = Centering(6).double()(VideoFeatures(VIDEOS.visual))
    assert result.textual is None


def test_checkpoints_carry_the_means():
    neck = MODELS.build(dict(type='Centering', in_channels=6)).fit([VIDEOS.float()])
    assert not list(neck.parameters())
    twin = Centering(6)
    twin.load_state_dict(neck.state_dict())
    assert torch.equal(twin(VIDEOS, data_samples=None)[0].textual, neck(VIDEOS)[0].textual)
    assert neck.visual_mean.any()
    assert neck.textual_mean.any()


@pytest.mark.parametrize('use', [lambda neck, feats: neck(feats), lambda neck, feats: neck.fit([feats])])
def test_refuses_other_tokens(use):
    with pytest.raises(TypeError, match=r'takes VideoFeatures, .* but got Tensor'):
        use(Centering(6), VIDEOS.visual)
    with pytest.raises(ValueError, match=r'in_channels=5\) .* but got \[\[3, 2, 4, 6\], \[3, 4, 6\]\]'):
        use(Centering(5), VIDEOS)
    with pytest.raises(ValueError, match=r'\[V, T, P, D\] or \[V, T, D\]'):
        use(Centering(6), VideoFeatures(VIDEOS.visual[0, 0]))


def test_refuses_to_fit_nothing():
    with pytest.raises(ValueError, match='no video to take the mean of'):
        Centering(6).fit([])
