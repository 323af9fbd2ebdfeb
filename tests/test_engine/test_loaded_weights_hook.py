from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch import nn

from fsar_llava.engine.hooks import LoadedWeightsHook


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


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
    with pytest.raises(ValueError, match=r'best\.pth lacks 2 of the 4 parameters of the model, such as head\.weight'):
        meta_of_test(state)
    notes = meta_of_test(state, strict=False)['notes']
    assert notes == ['earlier', 'the checkpoint lacks 2 of the 4 parameters of the model, such as head.weight']
    assert meta_of_test(state, trained=True)['notes'] == ['earlier']


def test_no_checkpoint():
    assert meta_of_test()['notes'] == ['earlier', 'tested without a checkpoint']
    assert meta_of_test(trained=True)['notes'] == ['earlier']
    assert meta_of_test(model=nn.ReLU())['notes'] == ['earlier']
