from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os

import numpy as np
import pytest
import torch
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.fileio import load

from fsar_llava.evaluation import FewShotMetric, few_shot_metric, report

CLASSES = {3: 'run', 5: 'walk', 8: 'jump [high]', 11: 'wave', 12: 'clap'}


def results(num_episodes, num_ways=3, num_queries=4, seed=0):
    """What a head gives: an ActionDataSample an episode."""
    rng = np.random.RandomState(seed)
    samples = []
    for episode in range(num_episodes):
        class_ids = rng.permutation(list(CLASSES))[:num_ways].tolist()
        truth = torch.from_numpy(rng.permutation(np.arange(num_queries) % num_ways))
        scores = torch.from_numpy(rng.rand(num_queries, num_ways)) + torch.nn.functional.one_hot(truth, num_ways) * 0.4
        sample = ActionDataSample(
            metainfo=dict(
                episode_id=episode,
                episode_digest=f'digest {episode}',
                class_ids=tuple(class_ids),
                class_names=tuple(CLASSES[c] for c in class_ids),
            )
        )
        sample.set_field(scores.softmax(-1).float(), 'pred_scores')
        sample.set_field(scores.argmax(-1), 'pred_label')
        sample.set_field(truth, 'gt_label')
        samples.append(sample)
    return samples


def evaluate(samples, size=None, **kwargs):
    evaluator = Evaluator(FewShotMetric(**kwargs))
    for begin in range(0, len(samples), 4):
        evaluator.process(samples[begin : begin + 4])
    return evaluator.evaluate(len(samples) if size is None else size)


@pytest.fixture
def logged(monkeypatch):
    messages = []
    monkeypatch.setattr(few_shot_metric, 'print_log', lambda message, **kwargs: messages.append(message))
    return messages


@pytest.mark.parametrize(('num_ways', 'num_queries'), [(3, 4), (5, 5), (2, 7)])
def test_agrees_with_plain_loops(tmp_path, num_ways, num_queries):
    samples = results(50, num_ways, num_queries)
    scores = evaluate(samples, out_file=tmp_path / 'result.json')

    accuracies, right, asked = [], dict.fromkeys(CLASSES, 0), dict.fromkeys(CLASSES, 0)
    confusion = dict.fromkeys(itertools.product(CLASSES, CLASSES), 0)
    for sample in samples:
        hits = 0
        for query in range(num_queries):
            truth, pred = (sample.class_ids[field[query]] for field in (sample.gt_label, sample.pred_label))
            hits += truth == pred
            right[truth] += truth == pred
            asked[truth] += 1
            confusion[truth, pred] += 1
        accuracies.append(hits / num_queries)
    assert scores.keys() == {'few_shot/acc', 'few_shot/ci95', 'few_shot/episodes'}
    assert scores['few_shot/acc'] == pytest.approx(100 * sum(accuracies) / 50, rel=1e-12)
    assert scores['few_shot/ci95'] == pytest.approx(196 * np.std(accuracies) / math.sqrt(50), rel=1e-12)
    assert scores['few_shot/episodes'] == 50

    full = json.loads((tmp_path / 'result.json').read_text())
    assert [entry['label'] for entry in full['per_class']] == list(CLASSES)
    for entry in full['per_class']:
        label = entry['label']
        assert (entry['name'], entry['queries']) == (CLASSES[label], asked[label])
        assert entry['acc'] == pytest.approx(100 * right[label] / asked[label], rel=1e-12)
    assert full['confusion'] == [[confusion[truth, pred] for pred in CLASSES] for truth in CLASSES]


def test_json_has_all_that_identifies_a_result(tmp_path, logged):
    samples = results(12)
    samples[5].set_metainfo(dict(episode_digest='digest 4'))
    path = tmp_path / 'new' / 'result.json'
    metric = FewShotMetric(out_file=str(path))
    metric.dataset_meta = dict(classes=(), list_hash='abc')
    metric.process(None, [sample.to_dict() for sample in samples])
    scores = metric.evaluate(12)

    full = json.loads(path.read_text())
    assert {f'few_shot/{key}': full[key] for key in ('acc', 'ci95', 'episodes')} == scores
    assert full['distinct_episodes'] == 11
    digests = [f'digest {4 if i == 5 else i}' for i in range(12)]
    assert full['episode_hash'] == hashlib.sha256('\n'.join(digests).encode()).hexdigest()
    assert full['list_hash'] == 'abc'
    assert full['versions'].keys() == {'fsar_llava', 'mmaction2', 'mmengine', 'torch', 'transformers', 'numpy'}
    assert full['versions']['numpy'] == np.__version__
    assert full['date'][:2] == '20'
    assert [entry.name for entry in path.parent.iterdir()] == ['result.json']
    summary = logged[0]
    assert '12 episodes (11 distinct)' in summary
    assert full['episode_hash'] in summary
    assert 'abc' in summary
    for entry in full['per_class']:
        (line,) = [line for line in summary.splitlines() if line.strip().startswith(entry['name'] + '  ')]
        assert f'{entry["acc"]:.2f}' in line
    assert str(path) in logged[1]


@pytest.mark.parametrize(
    ('shapes', 'expected'),
    [
        ([(3, 2, 6), (3, 2, 6)], (3, 2, 2)),
        ([(3, None, 6), (3, None, 6)], (3, None, 2)),  # of a head that does not say
        ([(3, 1, 6), (3, 5, 6)], (3, None, 2)),
        ([(3, 2, 6), (4, 2, 8)], (None, 2, 2)),
        ([(3, 2, 7)], (3, 2, None)),  # two or three of each class
    ],
)
def test_the_task_is_that_of_the_episodes(tmp_path, shapes, expected):
    samples = []
    for number, (ways, shots, queries) in enumerate(shapes):
        samples += results(1, ways, queries)
        samples[-1].set_metainfo(dict(episode_id=number, **({} if shots is None else dict(num_shots=shots))))
    evaluate(samples, out_file=tmp_path / 'result.json')
    full = json.loads((tmp_path / 'result.json').read_text())
    assert tuple(full[key] for key in ('num_ways', 'num_shots', 'num_queries')) == expected


def test_scores_that_are_no_numbers_are_marked(tmp_path, logged):
    """Their argmax is way 0: what a broken model scores looks like chance."""
    samples = results(6)
    for sample in samples[2:4]:
        sample.pred_scores[1] = float('nan')
    evaluate(samples, out_file=tmp_path / 'result.json')
    note = 'the scores of 2 episodes are not finite numbers'
    assert json.loads((tmp_path / 'result.json').read_text())['notes'] == [note]
    assert logged[0] == f'The result is marked: {note}.'


def test_no_class_is_taken_for_itself():
    per_class = [dict(name=name, queries=10, acc=0.0) for name in ('run', 'walk', 'jump')]
    lines = report.class_table(per_class, [[7, 1, 2], [0, 10, 0], [1, 0, 9]]).splitlines()[1:]
    assert [line.split()[3:] for line in lines] == [['jump', '(2)'], [], ['run', '(1)']]


def test_result_does_not_depend_on_the_order():
    samples = results(33, num_queries=7)
    expected = evaluate(samples)
    for seed in range(5):
        order = np.random.RandomState(seed).permutation(33)
        assert evaluate([samples[i] for i in order]) == expected  # to the last bit


@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_surplus_results_of_padded_ranks_are_dropped(world_size):
    samples = results(33)
    steps = math.ceil(33 / world_size)
    gathered = [samples[i % 33] for i in range(steps * world_size)]  # what collect_results puts together
    assert evaluate(gathered, size=33) == evaluate(samples)


def test_dumped_predictions_give_the_same_numbers(tmp_path):
    samples = results(20)
    path = str(tmp_path / 'predictions.pkl')
    evaluator = Evaluator([FewShotMetric(out_file=tmp_path / 'online.json'), DumpResults(out_file_path=path)])
    evaluator.process(samples)
    online = evaluator.evaluate(20)
    for chunk_size in (1, 7):
        offline = Evaluator(dict(type='FewShotMetric', out_file=tmp_path / 'offline.json'))
        assert offline.offline_evaluate(load(path), chunk_size=chunk_size) == online
        first, second = (json.loads((tmp_path / f'{name}.json').read_text()) for name in ('online', 'offline'))
        first.pop('date'), second.pop('date')
        assert first == second


def test_can_be_evaluated_repeatedly(tmp_path):
    metric = FewShotMetric(out_file=tmp_path / 'result.json')
    for num_episodes in (7, 3):
        metric.process(None, [sample.to_dict() for sample in results(num_episodes)])
        assert metric.evaluate(num_episodes)['few_shot/episodes'] == num_episodes
    assert json.loads((tmp_path / 'result.json').read_text())['episodes'] == 3


def test_prefix():
    metric = METRICS.build(dict(type='FewShotMetric', prefix='5way_5shot'))
    metric.process(None, [sample.to_dict() for sample in results(2)])
    assert '5way_5shot/acc' in metric.evaluate(2)


def test_one_episode():
    assert evaluate(results(1))['few_shot/ci95'] == 0


@pytest.mark.parametrize(
    ('chosen', 'size', 'message'),
    [
        ([0, 1, 1, 3], 4, r'1 repeated \(1\) and 1 missing \(2\)'),
        ([0, 1, 2], 5, r'of 3 results 2 missing \(3, 4\)'),
        ([1, 2, 3], 3, r'1 missing \(0\) and 1 unexpected \(3\)'),
        ([0] * 12, 12, r'1 repeated \(0\) and 11 missing \(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.\)'),
        ([], 3, r'of 0 results 3 missing \(0, 1, 2\)'),
        ([], 0, r'there are none'),
    ],
)
def test_duplicates_and_gaps_are_refused(tmp_path, chosen, size, message):
    samples = results(12)
    with pytest.raises(ValueError, match=message):
        evaluate([samples[i] for i in chosen], size=size, out_file=tmp_path / 'result.json')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda sample: sample.pop('episode_id'), r"without \['episode_id'\].*PrototypeHead"),
        (lambda sample: sample.update(gt_label=torch.tensor([0, -1, 1, 2])), r'Episode 0 has a query without a label'),
        (lambda sample: sample.update(pred_label=torch.tensor([0])), r'Episode 0 has 4 queries, but 1 predictions'),
    ],
)
def test_bad_results(change, message):
    sample = results(1)[0].to_dict()
    change(sample)
    with pytest.raises(ValueError, match=message):
        FewShotMetric().process(None, [sample])


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    path = tmp_path / 'result.json'
    report.write_json(path, dict(acc=1))
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match='No space left'):
        report.write_json(path, dict(acc=2))
    assert json.loads(path.read_text()) == dict(acc=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ['result.json']


def test_versions_of_absent_packages(monkeypatch):
    def absent(name):
        raise report.PackageNotFoundError(name)

    monkeypatch.setattr(report, 'version', absent)
    assert report.versions()['transformers'] is None
