import re

import pytest
import torch

from fsar_llava import VideoFeatures, as_video_features
from tests.factories import random_features


def test_selection_takes_the_shape_of_the_index():
    features = random_features(6)
    index = torch.tensor([[[4], [0]], [[1], [5]]])
    selected = features[index]
    assert selected.visual.shape == (2, 2, 1, 4, 8)
    assert torch.equal(selected.textual[1, 1, 0], features.textual[5])
    assert torch.equal(selected.textual_mask[0, 0, 0], features.textual_mask[4])


def test_text_needs_its_mask():
    with pytest.raises(ValueError, match='together'):
        VideoFeatures(torch.zeros(2, 3, 4), torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r'\[2, 5\]'):
        VideoFeatures(torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), torch.ones(2, 4, dtype=torch.bool))


def test_float_leaves_the_mask():
    features = random_features(2).map(lambda x: x if x.dtype == torch.bool else x.bfloat16()).float()
    assert (features.visual.dtype, features.textual.dtype) == (torch.float32, torch.float32)
    assert features.textual_mask.dtype == torch.bool


@pytest.mark.parametrize(
    ('shape', 'tokens'),
    [((6, 8), 3), ((6, 8, 2, 2), 3), ((6, 8, 4, 2, 2), 12), ((6, 4, 8), 12)],
)
def test_stock_features_become_tokens(shape, tokens):
    feats = torch.randn(shape)
    visual = as_video_features(feats, num_videos=2).visual
    assert visual.shape == (2, tokens, 8)
    # Oracle: video 1, view 2 (its last), last time step.
    last = feats[5]
    expected = {2: lambda: last, 3: lambda: last[-1], 4: lambda: last.mean((1, 2)), 5: lambda: last[:, -1].mean((1, 2))}
    torch.testing.assert_close(visual[1, -1], expected[feats.ndim]())


@pytest.mark.parametrize('kind', [tuple, list])
def test_a_single_level_is_taken_out_of_its_tuple(kind):
    """As MViT without CLS token gives it."""
    feats = torch.randn(2, 8, 4, 2, 2)
    assert torch.equal(as_video_features(kind([feats]), 2).visual, as_video_features(feats, 2).visual)


def test_patches_that_are_still_apart_are_averaged():
    visual = torch.randn(2, 3, 4, 8)
    features = as_video_features(VideoFeatures(visual), num_videos=2)
    torch.testing.assert_close(features.visual, visual.mean(2))


def test_unsuitable_features_are_refused():
    with pytest.raises(ValueError, match=r'\[7, 8\] cannot be divided into 2 videos'):
        as_video_features(torch.zeros(7, 8), num_videos=2)
    with pytest.raises(TypeError, match='neck'):
        as_video_features((torch.zeros(2, 8), torch.zeros(2, 8)), num_videos=2)


@pytest.mark.parametrize('shape', [(6, 3, 8), (1, 3, 8), (6, 3, 4, 8), (2, 8)])
def test_features_of_other_videos_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f'{list(shape)} are not those of 2 videos')):
        as_video_features(VideoFeatures(torch.zeros(shape)), num_videos=2)
