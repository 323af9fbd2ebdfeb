from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from fsar_llava.datasets.splits import load_split
from fsar_llava.engine.hooks.protocol_hook import META_KEY, ProtocolHook
from tests.test_configs import LEAVES, shrink

NAME = 'fsar-llava_tiny_unknown_5way-1shot_toy-motion'


def dataset(name, part):
    """What the hook reads of an EpisodicDataset: the names of all classes, and which have videos."""
    split = load_split(name)
    return SimpleNamespace(
        class_names=split.names, class_to_indices={split.labels[key]: [0] for key in split.classes[part]}
    )


def fake_runner(train=None, val=None, test=None, model=None, load_from=None):
    loader = dict(train=train, val=val, test=test)
    loader = {key: SimpleNamespace(dataset=dataset(*value)) for key, value in loader.items() if value}
    evaluator = SimpleNamespace(dataset_meta=dict(list_hash='abc'))
    return SimpleNamespace(
        train_dataloader=loader.get('train'),
        val_loop=loader.get('val'),
        val_dataloader=loader.get('val'),
        test_dataloader=loader.get('test'),
        test_loop=SimpleNamespace(evaluator=evaluator),
        cfg=dict(model=model or {}, load_from=load_from),
    )


def train(**loaders):
    """Train, and give the checkpoint."""
    hook, runner, checkpoint = ProtocolHook(), fake_runner(**loaders), dict(meta={})
    hook.before_train(runner)
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint


def notes_of_test(checkpoint, **options):
    hook = ProtocolHook(**{key: options.pop(key) for key in ('strict', 'pretrained_on') if key in options})
    runner = fake_runner(**options)
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_test(runner)
    assert runner.test_loop.evaluator.dataset_meta['list_hash'] == 'abc'
    return runner.test_loop.evaluator.dataset_meta.get('notes', [])


def test_the_usual_course_needs_no_remark():
    checkpoint = train(train=('hmdb51', 'train'), val=('hmdb51', 'val'))
    assert set(checkpoint['meta'][META_KEY]['train_classes']) == set(load_split('hmdb51').classes['train'].values())
    assert notes_of_test(checkpoint, test=('hmdb51', 'test')) == []
    assert notes_of_test(dict(meta={}), test=('hmdb51', 'test')) == []


def test_validation_on_training_classes_is_refused():
    with pytest.raises(ValueError, match='31 of the validation classes were trained on'):
        train(train=('hmdb51', 'train'), val=('hmdb51', 'train'))


def test_another_data_set_with_common_classes_is_refused():
    checkpoint = train(train=('ssv2_small', 'train'))
    with pytest.raises(ValueError, match='of the test classes were trained on'):
        notes_of_test(checkpoint, test=('ssv2_full', 'test'))
    [note] = notes_of_test(checkpoint, test=('ssv2_full', 'test'), strict=False)
    assert 'of the test classes were trained on' in note


def test_fine_tuning_does_not_forget_the_first_training():
    hook, runner = ProtocolHook(), fake_runner(train=('hmdb51', 'train'))
    hook.after_load_checkpoint(runner, train(train=('ssv2_full', 'train')))
    hook.before_train(runner)
    assert set(load_split('ssv2_full').classes['train']) < set(hook.train_classes)


def test_a_checkpoint_chosen_on_the_test_classes_is_marked():
    checkpoint = train(train=('ucf101', 'train'), val=('ucf101', 'test'))
    assert notes_of_test(checkpoint, test=('ucf101', 'test')) == ['checkpoint chosen on 21 of the evaluation classes']


@pytest.mark.parametrize(
    ('options', 'marked'), [({}, True), (dict(pretrained_on=''), False), (dict(pretrained_on='Kinetics-700'), True)]
)
def test_kinetics_pretraining_is_marked(options, marked):
    model = dict(backbone=dict(pretrained='slowonly_kinetics400.pth'))
    notes = notes_of_test(dict(meta={}), test=('kinetics100', 'test'), model=model, **options)
    assert len(notes) == marked
    assert not marked or options.get('pretrained_on', 'Kinetics-400') in notes[0]


def test_kinetics_pretraining_by_load_from_is_marked():
    pretrained = 'https://x/slowonly_kinetics400-rgb.pth'
    test = dict(test=('kinetics100', 'test'))
    expected = ['backbone pre-trained on Kinetics-400, which holds 24 of the 24 evaluation classes']
    assert notes_of_test(dict(meta={}), load_from=pretrained, **test) == expected
    # What a training began with, its checkpoints know, and those of a training that goes on from them.
    checkpoint = train(train=('kinetics100', 'train'), load_from=pretrained)
    assert notes_of_test(checkpoint, load_from='epoch_1.pth', **test) == expected
    hook, runner, later = ProtocolHook(), fake_runner(train=('kinetics100', 'train')), dict(meta={})
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_train(runner)
    hook.before_save_checkpoint(runner, later)
    assert notes_of_test(later, load_from='epoch_2.pth', **test) == expected
    assert notes_of_test(later, load_from='epoch_2.pth', pretrained_on='', **test) == []
    # A folder's name says nothing.
    assert notes_of_test(dict(meta={}), load_from='kinetics400/epoch_2.pth', **test) == []


def test_in_a_real_run(data_root, tmp_path):
    def runner(**options):
        cfg = shrink(Config.fromfile(LEAVES[NAME]), NAME)
        cfg.work_dir = str(tmp_path)
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'ProtocolHook'] + [
            dict(type='ProtocolHook')
        ]
        cfg.merge_from_dict(options)
        cfg.experiment_name = f'run{len(list(tmp_path.iterdir()))}'
        return Runner.from_cfg(cfg)

    folder = data_root / 'toy_motion'
    names = (folder / 'classes.txt').read_text().splitlines()
    runner(**{'val_dataloader.dataset.dataset.ann_file': str(folder / 'test.txt')}).train()
    [checkpoint] = tmp_path.glob('epoch_*.pth')
    found = torch.load(checkpoint, weights_only=True)['meta'][META_KEY]
    labels = {int(line.split('\t')[1]) for line in (folder / 'train.txt').read_text().splitlines()}
    assert set(found['train_classes']) == {names[label] for label in labels}

    test = runner(load_from=str(checkpoint))
    test.test()
    assert test.test_loop.evaluator.dataset_meta['notes'] == ['checkpoint chosen on 5 of the evaluation classes']
    with pytest.raises(ValueError, match='10 of the test classes were trained on'):
        runner(
            load_from=str(checkpoint), **{'test_dataloader.dataset.dataset.ann_file': str(folder / 'train.txt')}
        ).test()
