import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from fsar_llava import VideoFeatures
from tests.conftest import REPOSITORY
from tests.factories import episode_samples

CONFIG = REPOSITORY / 'configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py'


@pytest.fixture(scope='module', params=['unknown', 'known'])
def recognizer(request):
    cfg = Config.fromfile(CONFIG).model
    cfg.prompts = request.param
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


@pytest.fixture(scope='module')
def batch():
    samples = episode_samples(2, 1, 1) + episode_samples(2, 1, 1, episode_id=1, first_class=2)
    return torch.randn(len(samples), 8, 3, 64, 64), samples


def test_modes(recognizer, batch):
    inputs, samples = batch
    with torch.no_grad():
        features = recognizer(inputs, samples, mode='tensor')
        logits = recognizer(inputs, samples, mode='tensor', stage='head')
        results = recognizer(inputs, samples, mode='predict')
    assert features.visual.shape == (8, 8, 64)
    assert logits.shape == (2, 2, 2)
    torch.testing.assert_close(torch.stack([result.pred_scores for result in results]), logits.softmax(-1))
    recognizer(inputs, samples, mode='loss')['loss_q2s'].backward()
    assert all(parameter.grad is not None for parameter in recognizer.parameters())


def test_only_the_tuned_parameters_are_seen(recognizer):
    assert {name.split('.')[0] for name in recognizer.state_dict()} == {'neck', 'cls_head'}
    assert {name.split('.')[0] for name, _ in recognizer.named_parameters()} == {'neck', 'cls_head'}


def test_query_label_reaches_neither_prompt_nor_result(recognizer, batch):
    inputs, _ = batch
    before_samples, after_samples = (
        episode_samples(2, 1, 1) + episode_samples(2, 1, 1, episode_id=1, first_class=2) for _ in range(2)
    )
    for position in (2, 3):
        after_samples[position].set_metainfo(dict(way=-1, class_name='something else', class_id=99))
    with torch.no_grad():
        before, after = (recognizer(inputs, samples, mode='predict') for samples in (before_samples, after_samples))
    for one, other in zip(before, after):
        assert torch.equal(one.pred_scores, other.pred_scores)


def test_samples_are_needed(recognizer, batch):
    with pytest.raises(ValueError, match='data_samples'):
        recognizer(batch[0], mode='tensor')


def test_identity_tells_the_prompts_apart():
    cfg = Config.fromfile(CONFIG).model
    unknown, known = (MODELS.build({**cfg, 'prompts': prompts}).identity() for prompts in ('unknown', 'known'))
    assert unknown['backbone'] == known['backbone']
    assert unknown['prompts'] != known['prompts']


class FrameColours(torch.nn.Module):
    """A backbone of the user's own, that can do no more than it must."""

    def forward(self, inputs, prompts):
        return VideoFeatures(inputs.mean((-2, -1)))


def test_a_backbone_needs_no_identity(batch):
    head = dict(type='PrototypeHead', matching=dict(type='OTAM'))
    model = MODELS.build(dict(type='FewShotRecognizer', backbone=dict(type=FrameColours), cls_head=head, prompts=None))
    assert len(model(*batch, mode='predict')) == 2
    identity = dict(backbone=dict(type='FrameColours'), prompts=dict(support=None, query=None))
    assert model.identity() == identity


def test_features_in_half_precision_are_matched_in_float32(batch):
    inputs, samples = batch
    head = dict(type='PrototypeHead', matching=dict(type='OTAM'))
    model = MODELS.build(dict(type='FewShotRecognizer', backbone=dict(type=FrameColours), cls_head=head, prompts=None))
    assert model(inputs.bfloat16(), samples).visual.dtype is torch.float32
    assert model(inputs.bfloat16(), samples, stage='backbone').visual.dtype is torch.float32


class AuxiliaryLoss(torch.nn.Module):
    """A neck with a loss of its own in training."""

    def forward(self, features, data_samples):
        return features, dict(loss_neck=features.visual.new_tensor(len(data_samples))) if self.training else {}


def test_the_loss_of_the_neck_is_trained(batch):
    head = dict(type='PrototypeHead', matching=dict(type='OTAM'))
    parts = dict(backbone=dict(type=FrameColours), neck=dict(type=AuxiliaryLoss), cls_head=head, prompts=None)
    model = MODELS.build(dict(type='FewShotRecognizer', **parts))
    losses = model.train()(*batch, mode='loss')
    assert losses['loss_neck'] == 8
    assert 'loss_q2s' in losses
    assert 'loss_neck' not in model.eval()(*batch, mode='loss')
