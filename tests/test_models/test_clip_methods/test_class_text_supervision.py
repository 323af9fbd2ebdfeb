"""The auxiliary classification by class texts of CLIP-FSAR and CLIP-M2DF."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS

from fsar_llava import VideoFeatures

from .episodes import T
from .loops import array, cosine


@pytest.mark.parametrize('top', [None, 1, 2, 8])
def test_class_text_logits_equal_plain_loops(top):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    neck = MODELS.build(
        dict(type='ClassTextSupervision', text_encoder=encoder, classes=['run', 'jump'], scale=3.0, top_frames=top)
    )
    visual = torch.randn(4, T, 32, dtype=torch.float64)
    texts = array(neck.text_encoder(['a photo of run', 'a photo of jump']))
    found = neck.logits(visual)
    for v in range(4):
        frames = array(visual[v])
        for c in range(2):
            nearest = sorted(frames, key=lambda frame, text=texts[c]: -cosine(frame, text))[:top]
            assert float(found[v, c]) == pytest.approx(3 * cosine(np.mean(nearest, axis=0), texts[c]), rel=1e-5)


@pytest.mark.parametrize('top', [None, 2])
def test_autocast_changes_nothing(top):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    neck = MODELS.build(
        dict(type='ClassTextSupervision', text_encoder=encoder, classes=['run', 'jump'], top_frames=top)
    )
    visual = torch.randn(4, T, 32)
    with torch.autocast('cpu', torch.bfloat16):
        found = neck.logits(visual)
    assert torch.equal(found, neck.logits(visual))


def test_class_text_supervision_is_for_training_only(tmp_path):
    from tests.factories import episode_samples

    samples = episode_samples(2, 1, 1)
    (tmp_path / 'classes.txt').write_text('class 0\nclass 1\n\nclass 2\n')
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    build = dict(type='ClassTextSupervision', text_encoder=encoder, classes=str(tmp_path / 'classes.txt'))
    neck, features = MODELS.build(build), VideoFeatures(torch.randn(4, T, 32))
    same, losses = neck.train()(features, samples)
    assert same is features
    labels = torch.tensor([0, 1, 0, 1])
    expected = F.cross_entropy(neck.logits(features.visual), labels)
    torch.testing.assert_close(losses['loss_class_text'], expected)
    _, weighted = MODELS.build(dict(build, loss_weight=0.25)).train()(features, samples)
    torch.testing.assert_close(weighted['loss_class_text'], 0.25 * expected)
    assert neck.eval()(features, samples) == (features, {})
    assert MODELS.build(dict(build, loss_weight=0)).train()(features, samples) == (features, {})
    with pytest.raises(ValueError, match="'class 1', which is not among the 1 classes"):
        MODELS.build(dict(build, classes=['class 0'])).train()(features, samples)


@pytest.mark.parametrize(
    ('classes', 'error', 'message'),
    [
        ([], ValueError, 'got 0'),
        (['a', 'a'], ValueError, 'got 2'),
        ('no.txt', FileNotFoundError, r"file 'no\.txt'"),
    ],
)
def test_bad_class_lists(classes, error, message):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    neck = MODELS.build(dict(type='ClassTextSupervision', text_encoder=encoder, classes=classes))
    with pytest.raises(error, match=message):
        neck.train()(VideoFeatures(torch.randn(1, T, 32)), [])


def test_classes_of_the_training_list(tmp_path):
    listing = tmp_path / 'train.txt'
    listing.write_text('a b/0.mp4\t2\nc/1.mp4\t0\na b/1.mp4\t2\n')
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    build = dict(type='ClassTextSupervision', text_encoder=encoder, ann_file=str(listing), delimiter='\t')
    assert list(MODELS.build(dict(build, classes=['c', 'd', 'a b'])).classes) == ['c', 'a b']
    with pytest.raises(ValueError, match="label '2', but the labels of 2 classes"):
        _ = MODELS.build(dict(build, classes=['c', 'd'])).classes
    with pytest.raises(ValueError, match='its delimiter'):
        _ = MODELS.build(dict(build, classes=['c', 'd', 'a b'], delimiter=',')).classes


@pytest.mark.parametrize('top', [0, -1])
def test_some_frame_must_count(top):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    with pytest.raises(ValueError, match=f'top_frames must be at least 1, or None for the mean frame, but is {top}'):
        MODELS.build(dict(type='ClassTextSupervision', text_encoder=encoder, classes=['run'], top_frames=top))


@pytest.mark.parametrize('template', ['a photo', 'a photo of {}', 'a photo of {name}'])
def test_template_must_name_the_class(template):
    encoder = dict(type='CLIPTextEncoder', architecture='tiny')
    with pytest.raises(ValueError, match=r'template must contain \{class_name\}, .* but is .a photo'):
        MODELS.build(dict(type='ClassTextSupervision', text_encoder=encoder, classes=['run'], template=template))
