from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, BaseTTAModel
from torch import nn

from fsar_llava.engine.hooks import LoadedWeightsHook
from fsar_llava.engine.hooks.loaded_weights_hook import own_weights


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


class Stock(BaseModel):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head(inputs)


class TwoViews(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        return data_samples_list


def fake_runner(model, checkpoint=None):
    evaluator = SimpleNamespace(dataset_meta=dict(list_hash='abc', notes=['earlier']))
    cfg = Config(dict(load_from=checkpoint))
    return SimpleNamespace(model=model, cfg=cfg, test_loop=SimpleNamespace(evaluator=evaluator))


def meta_of_test(state=None, *, strict=True, model=None, prefix='', trained=False):
    hook = LoadedWeightsHook(strict=strict)
    runner = fake_runner(model or Model(), None if state is None else 'best.pth')
    if state is not None:
        hook.after_load_checkpoint(runner, dict(state_dict={prefix + name: weight for name, weight in state.items()}))
    if trained:
        hook.before_train(runner)
    hook.before_test(runner)
    return runner.test_loop.evaluator.dataset_meta


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_whole_checkpoint(prefix):
    meta = meta_of_test(Model().state_dict(), prefix=prefix)
    assert meta == dict(list_hash='abc', notes=['earlier'], config=None, checkpoint='best.pth')


def test_checkpoint_of_another_model():
    state = {name: weight for name, weight in Model().state_dict().items() if 'head' not in name}
    with pytest.raises(ValueError, match=r'best\.pth lacks 2 of the 4 weights of the model in their shape, such as'):
        meta_of_test(state)
    notes = meta_of_test(state, strict=False)['notes']
    assert notes == [
        'earlier',
        'the checkpoint lacks 2 of the 4 weights of the model in their shape, such as head.weight',
    ]
    assert meta_of_test(state, trained=True)['notes'] == ['earlier']


def test_checkpoint_of_another_width():
    state = dict(Model().state_dict(), **{'head.weight': torch.zeros(2, 3)})
    with pytest.raises(ValueError, match=r'lacks 1 of the 4 weights of the model in their shape, such as head\.weight'):
        meta_of_test(state)


def test_averages_count():
    with pytest.raises(ValueError, match=r'lacks 2 of the 2 weights .* such as running_mean'):
        meta_of_test({}, model=nn.BatchNorm1d(3, affine=False))


def test_a_checkpoint_loaded_after_training_counts():
    hook, runner = LoadedWeightsHook(), fake_runner(Model(), 'pretrained.pth')
    hook.before_train(runner)
    hook.before_test(runner)
    assert runner.test_loop.evaluator.dataset_meta['checkpoint'] is None
    hook.after_load_checkpoint(runner, dict(state_dict={}))
    with pytest.raises(ValueError, match='lacks 4 of the 4 weights'):
        hook.before_test(runner)


def test_model_of_test_time_augmentation():
    assert set(own_weights(TwoViews(Stock()))) == {'head.weight', 'head.bias'}


def test_no_checkpoint():
    assert meta_of_test()['notes'] == ['earlier', 'tested without a checkpoint']
    assert meta_of_test(trained=True)['notes'] == ['earlier']
    assert meta_of_test(model=nn.ReLU())['notes'] == ['earlier']
