"""What holds for each method, run as a whole on a miniature: frames in, losses and predictions out."""

from __future__ import annotations

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.optim import OptimWrapper

from tests.factories import episode_samples

from .loops import perturb

PREPROCESSOR = dict(type='ActionDataPreprocessor', mean=[122.8, 116.7, 104.1], std=[68.5, 66.6, 70.3])
TEXT = dict(type='CLIPTextEncoder', architecture='tiny')
CLASSES = [f'class {number}' for number in range(64)]
PROMPTS = dict(support='a photo of {class_name}', query=None)
OTAM = dict(type='OTAM', smoothing=0.5)


def supervision(**kwargs):
    return dict(type='ClassTextSupervision', text_encoder=TEXT, classes=CLASSES, **kwargs)


def few_shot(cls_head, backbone='CLIPBackbone', **kwargs):
    return dict(
        type='FewShotRecognizer',
        backbone=dict(type=backbone, architecture='tiny'),
        cls_head=cls_head,
        prompts=PROMPTS,
        data_preprocessor=PREPROCESSOR,
        **kwargs,
    )


def view(context):
    context = dict(type=context, channels=32)
    return dict(type='MultimodalFusionEncoder', context=context, channels=32, num_heads=2, ffn_channels=16)


def ma_fsar(matching):
    return few_shot(
        dict(
            type='TextMergingHead',
            matching=matching,
            modulation=dict(type='TextGuidedPrototype', channels=32, num_heads=2, ffn_channels=16),
            losses=[
                dict(type='FewShotCrossEntropy', parts=('query_text',), loss_weight=0.25),
                dict(type='SupportTextCrossEntropy', loss_weight=0.25),
                dict(type='FewShotCrossEntropy', parts=('matching',), loss_weight=0.5),
            ],
        ),
        backbone='MAFSARBackbone',
    )


METHODS = {
    'ma-fsar': ma_fsar(OTAM),
    'ma-fsar_bi-mhm': ma_fsar(dict(type='BiMHM')),
    'ma-fsar_trx': ma_fsar(dict(type='TRX', in_channels=32, out_channels=8)),
    'clip-m2df': few_shot(
        dict(
            type='MultiviewHead',
            matching=OTAM,
            prototype=dict(type='MeanPrototype'),
            selector=dict(type='ProbabilityPromptSelector'),
            local_view=view('LocalTemporalContext'),
            global_view=view('GlobalTemporalContext'),
            losses=[dict(type='FewShotCrossEntropy'), dict(type='MutualDistillation')],
        ),
        neck=supervision(scale=10.0, top_frames=4),
    ),
    'clip-fsar': few_shot(
        dict(
            type='TextMergingHead',
            matching=OTAM,
            prototype=dict(type='MeanPrototype'),
            modulation=dict(type='TextModulation', channels=32, num_heads=2, ffn_channels=16),
            losses=dict(type='FewShotCrossEntropy', parts=('matching',)),
            text_weight=0.9,
            merge='product',
            merge_temperature='frames',
        ),
        neck=supervision(),
    ),
    'hyrsm': dict(
        type='Recognizer2D',
        backbone=dict(type='CLIPBackbone', architecture='tiny', text=False),
        cls_head=dict(
            type='PrototypeHead',
            matching=dict(type='BiMHM'),
            modulation=dict(type='HybridRelation', channels=32, num_heads=2, num_frames=4),
        ),
        data_preprocessor=PREPROCESSOR,
    ),
}
WITHOUT_GRADIENT = ('k_proj.bias', 'key_value.bias')  # the softmax cancels them, wholly or in part


def build(name, *, shift=True):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(METHODS[name]))
    if shift:
        perturb(model)
    return silence(model)


def silence(model):
    """No dropout and no drawn prompts: two runs shall be equal."""
    for module in model.modules():
        for attribute in ('p', 'attention_dropout'):
            if isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, 0.0)
        if hasattr(module, 'selection'):
            module.selection = 'argmax'
    return model


def batch(episodes, ways=3, shots=2, queries=1, frames=4, seed=0):
    samples = [
        sample
        for episode in episodes
        for sample in episode_samples(ways, shots, queries, episode_id=episode, first_class=3 * (episode % 16))
    ]
    videos = []
    for episode in episodes:
        generator = torch.Generator().manual_seed(1000 * seed + episode)
        count = ways * (shots + queries)
        videos += list(torch.randint(0, 256, (count, frames, 3, 64, 64), generator=generator, dtype=torch.uint8))
    return dict(inputs=videos, data_samples=copy.deepcopy(samples))


def run(model, data, mode):
    data = model.data_preprocessor(data, training=mode == 'loss')
    return model(data['inputs'], data['data_samples'], mode=mode)


def predict(model, data):
    with torch.no_grad():
        return torch.stack([result.pred_scores for result in run(model.eval(), data, 'predict')])


@pytest.mark.parametrize('name', METHODS)
def test_gradients_reach_every_trainable_parameter_and_no_frozen_one(name):
    model = build(name).train()
    losses = run(model, batch([0, 1]), 'loss')
    total = sum(value for key, value in losses.items() if key.startswith('loss'))
    assert torch.isfinite(total)
    total.backward()
    for parameter_name, parameter in model.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, parameter_name
        if parameter.requires_grad and not parameter_name.endswith(WITHOUT_GRADIENT):
            assert torch.isfinite(parameter.grad).all(), parameter_name
            assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize('name', METHODS)
def test_query_labels_do_not_reach_the_prediction(name):
    model, data = build(name), batch([0], queries=2)
    before = predict(model, copy.deepcopy(data))
    queries = [sample for sample in data['data_samples'] if sample.role == 'query']
    for sample, way in zip(queries, [2, 1, -1, 0, 2, 1]):
        sample.set_metainfo(dict(way=way, class_name=f'class {way}', class_id=way))
    assert torch.equal(predict(model, data), before)


@pytest.mark.parametrize('name', METHODS)
def test_an_episode_does_not_depend_on_the_others_of_its_batch(name):
    model = build(name)
    torch.testing.assert_close(predict(model, batch([4, 5]))[1:], predict(model, batch([5])), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', METHODS)
def test_other_ways_shots_queries_and_frames_than_in_training(name):
    model = build(name)
    run(model.train(), batch([0]), 'loss')
    scores = predict(model, batch([0], ways=4, shots=1, queries=2, frames=6))
    assert scores.shape == (1, 8, 4)
    torch.testing.assert_close(scores.sum(-1), torch.ones(1, 8))


@pytest.mark.parametrize('name', METHODS)
def test_accumulated_episodes_equal_a_larger_batch(name):
    updated = []
    for steps in ([range(16)], [[episode] for episode in range(16)]):
        model = build(name).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        wrapper = OptimWrapper(optimizer, accumulative_counts=len(steps))
        wrapper.initialize_count_status(model, 0, len(steps))
        before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
        for episodes in steps:
            losses = run(model, batch(list(episodes), ways=2, shots=1, frames=3), 'loss')
            wrapper.update_params(model.parse_losses(losses)[0])
        updated.append([p.detach() - old for old, p in zip(before, (p for p in model.parameters() if p.requires_grad))])
    assert any(step.abs().max() > 1e-4 for step in updated[0])
    for together, accumulated in zip(*updated):
        torch.testing.assert_close(together, accumulated, rtol=1e-2, atol=2e-5)
