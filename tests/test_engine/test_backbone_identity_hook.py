import pytest
from mmaction.registry import MODEL_WRAPPERS
from torch import nn

from fsar_llava.engine import BackboneIdentityHook, check_identity
from fsar_llava.engine.hooks import backbone_identity_hook


class Recognizer(nn.Module):
    def __init__(self, **backbone):
        super().__init__()
        self._backbone = dict(model='a', layer=16, fingerprint='f0', **backbone)

    def identity(self):
        return dict(backbone=self._backbone, prompts=dict(query='?'))


class Runner:
    def __init__(self, model):
        self.model = model


def saved(model):
    checkpoint = dict(meta={})
    BackboneIdentityHook().before_save_checkpoint(Runner(model), checkpoint)
    return checkpoint


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(backbone_identity_hook, 'print_log', lambda message, **_: found.append(message))
    return found


def test_equal_identities_pass_wherever_the_model_lies(warnings):
    check_identity(Recognizer(), saved(Recognizer()))
    moved = saved(Recognizer())
    moved['meta']['fsar_llava'] = dict(
        moved['meta']['fsar_llava'], backbone=dict(model='b', layer=16, fingerprint='f0')
    )
    check_identity(Recognizer(), moved)
    assert warnings == []


def test_every_differing_field_is_named_with_both_values(warnings):
    checkpoint = saved(Recognizer(grid=4))
    model = Recognizer(grid=8)
    model._backbone['layer'] = 20
    with pytest.raises(ValueError, match=r'grid: checkpoint 4, config 8') as error:
        BackboneIdentityHook().after_load_checkpoint(Runner(model), checkpoint)
    assert 'backbone.layer: checkpoint 16, config 20' in str(error.value)
    BackboneIdentityHook(strict=False).after_load_checkpoint(Runner(model), checkpoint)
    assert ['backbone.layer: checkpoint 16, config 20' in message for message in warnings] == [True]


def test_a_wrapped_model_is_looked_into():
    def wrap(**backbone):
        return MODEL_WRAPPERS.build(dict(type='EvaluationWrapper', module=Recognizer(**backbone)))

    with pytest.raises(ValueError, match='grid: checkpoint 4, config 8'):
        check_identity(wrap(grid=8), saved(wrap(grid=4)))


def test_field_that_one_side_lacks_differs():
    with pytest.raises(ValueError, match=r"quantization: checkpoint '\(absent\)', config '4bit'"):
        check_identity(Recognizer(quantization='4bit'), saved(Recognizer()))


def test_models_without_a_frozen_backbone_are_left_alone():
    model = nn.Linear(1, 1)
    assert saved(model) == dict(meta={})
    check_identity(model, saved(Recognizer()))


def test_checkpoint_without_identity_is_loaded_with_a_warning(warnings):
    check_identity(Recognizer(), dict(meta={}))
    assert ['does not say which frozen backbone' in message for message in warnings] == [True]


def test_backbone_under_a_stock_recognizer_counts():
    stock = nn.Module()
    stock.backbone = Recognizer()
    assert saved(stock)['meta']['fsar_llava']['backbone']['layer'] == 16
