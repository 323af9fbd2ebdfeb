from itertools import product

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from fsar_llava.models.necks import LinearProjection, MultimodalFeatureEnhancement
from fsar_llava.structures import VideoFeatures

from ..test_layers.loops import (
    attention,
    features,
    feed_forward,
    linear,
    names_with_gradient,
    norm,
    numbers,
    pad_text,
    perturb,
)

SWITCHES = ('spatial', 'temporal', 'visual_lead', 'textual_lead')
PARTS = {
    'spatial': {'spatial'},
    'temporal': {'temporal', 'position'},
    'visual_lead': {'visual_lead'},
    'textual_lead': {'textual_lead'},
    'visual': {'visual_lead', 'visual_ffn'},
    'textual': {'textual_lead', 'textual_ffn'},
}
FEATS = features((2,), (3, 4), [4, 2], width=6)


def make(**options) -> MultimodalFeatureEnhancement:
    return MultimodalFeatureEnhancement(6, 8, **{'num_heads': 2, 'num_frames': 3, **options})


def down(layer, tokens: torch.Tensor) -> np.ndarray:
    flat = [linear(layer.linear, norm(layer.norm, token)) for token in numbers(tokens.reshape(-1, 6))]
    return np.array(flat).reshape(*tokens.shape[:-1], 8)


def oracle(neck, feats: VideoFeatures, video: int) -> tuple[np.ndarray, np.ndarray]:
    """F_v [T, D] and F_t [L, D] of one video, token by token."""
    tokens = down(neck.down_sampling, feats.visual[video])
    if neck.spatial is not None:
        tokens = np.array([attention(neck.spatial, frame) for frame in tokens])
    if neck.temporal is not None:
        position = numbers(neck.position.embedding)
        for patch in range(tokens.shape[1]):
            tokens[:, patch] = attention(neck.temporal, tokens[:, patch], position=position)
    frames = np.array([sum(frame) / len(frame) for frame in tokens])
    visual = frames
    valid = feats.textual_mask[video]
    text = down(neck.down_sampling, feats.textual[video])
    if neck.visual_lead is not None:
        visual = attention(neck.visual_lead, frames, text, valid)
    if neck.visual_ffn is not None:
        visual = np.array([feed_forward(neck.visual_ffn, token) for token in visual])
    textual = text
    if neck.textual_lead is not None:
        textual = attention(neck.textual_lead, text, frames)
    if neck.textual_ffn is not None:
        textual = np.array([feed_forward(neck.textual_ffn, token) for token in textual])
    return visual, textual * valid[:, None].numpy()


@pytest.mark.parametrize('enabled', list(product([True, False], repeat=4)))
def test_equals_plain_loops_with_any_attention_switched_off(enabled):
    neck = perturb(make(**dict(zip(SWITCHES, enabled))))
    result, losses = neck(FEATS)
    assert losses == {}
    assert torch.equal(result.textual_mask, FEATS.textual_mask)
    for video in range(2):
        visual, textual = oracle(neck, FEATS, video)
        torch.testing.assert_close(result.visual[video], torch.tensor(visual))
        torch.testing.assert_close(result.textual[video], torch.tensor(textual))


@pytest.mark.parametrize('half', ['visual', 'textual'])
def test_equals_plain_loops_without_a_half(half):
    neck = perturb(make(**{half: False}))
    result, _ = neck(FEATS)
    for video in range(2):
        visual, textual = oracle(neck, FEATS, video)
        torch.testing.assert_close(result.visual[video], torch.tensor(visual))
        torch.testing.assert_close(result.textual[video], torch.tensor(textual))


@pytest.mark.parametrize('switch', PARTS)
def test_parts_switched_off_have_no_parameters(switch):
    owners = {name.split('.')[0] for name, _ in make().named_parameters()}
    left = {name.split('.')[0] for name, _ in make(**{switch: False}).named_parameters()}
    assert owners - left == PARTS[switch]


@pytest.mark.parametrize('init_weights', [False, True])
def test_starts_as_the_linear_projection(init_weights):
    neck, plain = make().double(), LinearProjection(6, 8).double()
    if init_weights:
        neck.init_weights()
    plain.load_state_dict({name: x for name, x in neck.state_dict().items() if name.startswith('down_sampling')})
    result, expected = neck(FEATS)[0], plain(FEATS)[0]
    assert torch.equal(result.visual, expected.visual)
    assert torch.equal(result.textual, expected.textual)


@pytest.mark.parametrize('value', [7.0, float('nan')])
def test_padded_text_changes_nothing(value):
    neck = perturb(make())
    result, padded = neck(FEATS)[0], neck(pad_text(FEATS, 3, value))[0]
    torch.testing.assert_close(padded.visual, result.visual)
    torch.testing.assert_close(padded.textual[:, :4], result.textual)
    assert (padded.textual[~padded.textual_mask] == 0).all()
    (padded.visual.sum() + padded.textual.square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in neck.parameters())


def test_a_video_whose_text_is_all_padding_is_enhanced_without_it():
    neck = perturb(make())
    feats = features((2,), (3, 4), [4, 0], width=6)
    result, plain = neck(feats)[0], neck(VideoFeatures(feats.visual))[0]
    torch.testing.assert_close(result.visual[1], plain.visual[1])
    assert not torch.allclose(result.visual[0], plain.visual[0])
    assert (result.textual[1] == 0).all()
    (result.visual.sum() + result.textual.square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in neck.parameters())


def test_videos_do_not_see_each_other():
    neck = perturb(make())
    result = neck(FEATS)[0]
    alone = neck(FEATS[1:])[0]
    torch.testing.assert_close(alone.visual[0], result.visual[1])
    torch.testing.assert_close(alone.textual[0], result.textual[1])


@pytest.mark.parametrize('num_frames', [1, 2, 3, 7])
def test_takes_other_numbers_of_frames(num_frames):
    neck = perturb(make())
    result = neck(features((2,), (num_frames, 4), [4, 2], width=6))[0]
    assert result.visual.shape == (2, num_frames, 8)
    assert result.visual.isfinite().all()


@pytest.mark.parametrize('temporal', [True, False])
def test_knows_the_order_of_frames_by_the_temporal_position_alone(temporal):
    neck = perturb(make(temporal=temporal))
    reverse = neck(FEATS.replace(visual=FEATS.visual.flip(1)))[0].visual.flip(1)
    assert torch.allclose(reverse, neck(FEATS)[0].visual) is not temporal


def test_frame_means_are_one_patch():
    neck = perturb(make())
    frames = FEATS.replace(visual=FEATS.visual.mean(2))
    result, expected = neck(frames)[0], neck(FEATS.replace(visual=frames.visual[:, :, None]))[0]
    assert torch.equal(result.visual, expected.visual)


def loss_of(neck, feats=FEATS) -> torch.Tensor:
    result, _ = neck(feats)
    loss = (result.visual * features((2,), (3,), seed=5).visual).sum()
    if result.textual is not None:
        loss = loss + (result.textual * features((2,), (4,), seed=6).visual).sum()
    return loss


def test_every_parameter_gets_a_gradient():
    neck = perturb(make())
    loss_of(neck).backward()
    assert names_with_gradient(neck) == {name for name, _ in neck.named_parameters()}


def test_zero_initialised_outputs_learn_first_and_everything_follows():
    torch.manual_seed(0)
    neck = make().double()
    begin = {name: p.detach().clone() for name, p in neck.named_parameters()}
    optimizer = torch.optim.SGD(neck.parameters(), lr=0.05)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(neck).backward()
        if step == 0:
            blocks = {name for name in names_with_gradient(neck) if not name.startswith('down_sampling')}
            outputs = {name for name in begin if '.output.' in name}
            assert blocks == outputs
            assert len(outputs) == 8
        optimizer.step()
    assert [name for name, p in neck.named_parameters() if torch.equal(p, begin[name])] == []


@pytest.mark.parametrize(
    ('text', 'options', 'unused'),
    [
        (True, {}, set()),
        (True, dict.fromkeys(SWITCHES, False), set()),
        (True, dict(textual=False), set()),
        (False, {}, {'visual_lead', 'textual_lead', 'textual_ffn'}),
        (False, dict(visual_lead=False, textual=False), set()),
    ],
)
def test_no_parameter_is_left_out_of_the_graph_where_ddp_would_refuse_it(text, options, unused):
    neck = make(**options)
    feats = VideoFeatures(
        *(None if x is None else x.float() for x in (FEATS.visual, FEATS.textual)), FEATS.textual_mask
    )
    loss_of(neck, feats if text else VideoFeatures(feats.visual)).backward()
    assert {name.split('.')[0] for name, p in neck.named_parameters() if p.grad is None} == unused


def test_autocast_stays_close():
    neck = perturb(make(), scale=0.1)
    expected = neck(FEATS)[0]
    with torch.autocast('cpu', torch.bfloat16):
        result = neck.float()(FEATS.float())[0]
    torch.testing.assert_close(result.visual.double(), expected.visual, atol=0.05, rtol=0.05)
    torch.testing.assert_close(result.textual.double(), expected.textual, atol=0.05, rtol=0.05)


def test_is_registered_and_takes_data_samples():
    neck = MODELS.build(dict(type='MultimodalFeatureEnhancement', in_channels=6, channels=8))
    assert isinstance(neck, BaseModule)
    result, losses = neck(FEATS.float(), data_samples=[None, None])
    assert losses == {}
    assert result.visual.shape == (2, 3, 8)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='num_heads=3 and channels=8'):
        make(num_heads=3)
    with pytest.raises(ValueError, match=r"in_channels=6.*'visual': 5"):
        make()(features((2,), (3, 4), width=5))
