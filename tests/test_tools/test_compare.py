from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_rel

from fsar_llava.evaluation import FewShotMetric
from tests.conftest import load_tool

tool = load_tool('tools/analysis/compare.py')


def accuracies(mean, seed=0, episodes=200):
    generator = random.Random(seed)
    return [min(100.0, max(0.0, 20 * round(generator.gauss(mean, 20) / 20))) for _ in range(episodes)]


@pytest.fixture
def save(tmp_path):
    """Writes the result of a run as FewShotMetric does."""

    def write(run, accuracy, *, file='few_shot_result.json', episode_hash='e', list_hash='l', keep=True, **more):
        mean = math.fsum(accuracy) / len(accuracy)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in accuracy) / len(accuracy))
        content = dict(acc=mean, ci95=1.96 * std / math.sqrt(len(accuracy)), episodes=len(accuracy))
        content.update(episode_hash=episode_hash, list_hash=list_hash, **more)
        if keep:
            content.setdefault('episode_acc', accuracy)
        path = tmp_path / run / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return str(path)

    return write


def save_overview(folder, **settings):
    """What the feature bank writes beside the results of its settings."""
    path = folder / 'few_shot_result.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(settings=settings, wall_time={})))
    return str(path)


def read(argument):
    [result] = tool.read_results(argument)
    return result


def read_table(text):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]


def test_table_of_methods_and_data_sets(save, capsys):
    files = [
        save('otam_resnet50_5way-1shot_hmdb51', [40.0, 60.0]),
        save('otam_resnet50_5way-5shot_hmdb51', [80.0, 80.0]),
        save('bi-mhm_resnet50_5way-1shot_hmdb51', [60.0, 100.0]),
    ]
    assert tool.main([*files, '--markdown', '-']) == 0
    head, _, otam, mhm = read_table(capsys.readouterr().out)
    assert head == ['method', 'hmdb51 5way-1shot', 'hmdb51 5way-5shot']
    assert otam == ['otam_resnet50', '50.00 ± 13.86', '80.00 ± 0.00']
    assert mhm == ['bi-mhm_resnet50', '80.00 ± 27.72', '-']


def test_paired_test_agrees_with_scipy(save):
    one, other = accuracies(60, seed=1), accuracies(64, seed=2)
    results = [read(save('a_5way-1shot_x', one)), read(save('b_5way-1shot_x', other))]
    [test] = tool.paired_tests(results)
    expected = ttest_rel(one, other)
    assert test.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert test.difference == pytest.approx(math.fsum(one) / len(one) - math.fsum(other) / len(other))
    spread = math.sqrt(sum((a - b - test.difference) ** 2 for a, b in zip(one, other)) / (len(one) - 1) / len(one))
    assert test.ci95 == pytest.approx(1.96 * spread)
    assert f'{test.difference:+.2f}' in tool.markdown(results)


def test_pairing_sees_what_intervals_hide(save):
    base = accuracies(60, seed=3, episodes=400)
    better = [min(100.0, value + 20 * (index % 10 == 0)) for index, value in enumerate(base)]
    one, other = (read(save(f'{name}_5way-1shot_x', acc)) for name, acc in [('a', base), ('b', better)])
    assert abs(one.acc - other.acc) < one.ci95
    [test] = tool.paired_tests([one, other])
    assert test.p_value < 1e-6


@pytest.mark.parametrize(('shift', 'p_value'), [(0.0, 1.0), (20.0, 0.0)])
def test_constant_difference(save, shift, p_value):
    base = [20.0, 40.0, 60.0]
    files = save('a_5way-1shot_x', base), save('b_5way-1shot_x', [value + shift for value in base])
    [test] = tool.paired_tests([read(file) for file in files])
    assert (test.difference, test.ci95, test.p_value) == (-shift, 0.0, p_value)


@pytest.mark.parametrize(
    ('other', 'remark'),
    [
        (dict(episode_hash='f'), 'x 5way-1shot: the results are about different episodes'),
        (dict(episode_hash='f', list_hash='m'), 'x 5way-1shot: the results are about different lists of videos'),
        (dict(keep=False), 'x 5way-1shot: no paired test without episode_acc'),
        (dict(notes=['checkpoint chosen on them']), 'b, x 5way-1shot: checkpoint chosen on them'),
    ],
)
def test_remarks(save, capsys, other, remark):
    files = [save('a_5way-1shot_x', [20.0, 40.0]), save('b_5way-1shot_x', [20.0, 60.0], **other)]
    assert tool.main([*files, '--markdown', '-']) == 0
    text = capsys.readouterr().out
    assert f'- {remark}' in text
    assert ('Paired tests' in text) == ('notes' in other)
    assert ('± 27.72*' in text) == ('notes' in other)


def test_results_of_different_data_sets_are_not_paired(save):
    files = [save('a_5way-1shot_x', [20.0, 40.0]), save('b_5way-1shot_y', [20.0, 60.0])]
    assert list(tool.paired_tests([read(file) for file in files])) == []


def test_names(save):
    file = save('otam_5way-1shot_hmdb51', [20.0])
    assert read(file)[:2] == ('otam', 'hmdb51 5way-1shot')
    assert read(f'OTAM, ours={file}')[:2] == ('OTAM, ours', 'hmdb51 5way-1shot')
    assert read(f'trx_5way-5shot_ucf101={file}')[:2] == ('trx', 'ucf101 5way-5shot')
    assert read(save('run', [20.0]))[:2] == ('run', 'accuracy')
    assert read(save('lr=1e-3', [20.0]))[:2] == ('lr=1e-3', 'accuracy')


def test_the_task_is_what_was_tested(save):
    """A 5-shot test of a 1-shot config does not stand with 1-shot tests."""
    five = save('otam_5way-1shot_hmdb51', [20.0], num_ways=5, num_shots=5, num_queries=1)
    assert read(five)[:2] == ('otam', 'hmdb51 5way-5shot')
    assert read(f'trx_5way-1shot_ucf101={five}')[:2] == ('trx', 'ucf101 5way-5shot')
    mixed = save('trx_5way-1shot_hmdb51', [20.0], num_ways=5, num_shots=None)
    assert read(mixed).column == 'hmdb51 5way-?shot'
    assert read(save('run', [20.0], num_ways=5, num_shots=1))[:2] == ('run', '5way-1shot')
    config = 'configs/otam/otam_5way-1shot_hmdb51.py'
    assert read(save('lr', [20.0], config=config))[:2] == ('lr', 'accuracy')
    assert read(save('lr', [20.0], config=config, num_ways=5, num_shots=5))[:2] == ('lr', 'hmdb51 5way-5shot')


def test_settings_are_methods(save, capsys):
    plain = save('trx_5way-1shot_x', [40.0, 60.0], num_ways=5, num_shots=1)
    folder = 'free_5way-1shot_x'
    otam = save(folder, [60.0, 80.0], file='few_shot_result_OTAM.json', num_ways=5, num_shots=1)
    wide = save(folder, [20.0, 40.0], file='few_shot_result_5-shot.json', num_ways=5, num_shots=5)
    overview = save_overview(Path(otam).parent, **{'OTAM': {}, '5-shot': {}})
    expected = [('free OTAM', 'x 5way-1shot'), ('free 5-shot', 'x 5way-5shot')]
    assert [result[:2] for result in tool.read_results(overview)] == expected
    assert [read(file)[:2] for file in (otam, wide)] == expected
    assert [result.method for result in tool.read_results(f'all={overview}')] == ['all OTAM', 'all 5-shot']
    assert read(f'best={otam}').method == 'best'
    for files in ([plain, overview], [plain, overview, otam, wide]):  # as shells expand few_shot_result*.json
        assert tool.main([*files, '--markdown', '-']) == 0
        text = capsys.readouterr().out
        head, _, *rows = read_table(text)
        assert head == ['method', 'x 5way-1shot', 'x 5way-5shot']
        assert rows == [
            ['trx', '50.00 ± 13.86', '-'],
            ['free OTAM', '70.00 ± 13.86', '-'],
            ['free 5-shot', '-', '30.00 ± 13.86'],
        ]
        assert 'trx - free OTAM = -20.00' in text


def test_settings_without_names_share_the_row_of_their_run(save):
    files = [
        save(
            'free_5way-1shot_x',
            [60.0],
            file=f'few_shot_result_5way-{shots}shot{rest}.json',
            num_ways=5,
            num_shots=shots,
        )
        for shots, rest in ((1, ''), (5, ''), (5, '_OTAM'))
    ]
    expected = [('free', 'x 5way-1shot'), ('free', 'x 5way-5shot'), ('free OTAM', 'x 5way-5shot')]
    assert [read(file)[:2] for file in files] == expected


def test_terminal_and_file(save, tmp_path, capsys):
    files = [save('a|[b]_5way-1shot_x', [20.0, 40.0]), save('c_5way-1shot_x', [20.0, 60.0])]
    assert tool.main([*files, '--markdown', str(tmp_path / 'table.md')]) == 0
    shown = capsys.readouterr().out
    assert 'a|[b]' in shown
    assert '30.00 ± 13.86' in shown
    assert 'a|[b] - c = -10.00 ± 19.60' in ' '.join(shown.split())
    assert r'| a\|[b] | 30.00 ± 13.86 |' in (tmp_path / 'table.md').read_text(encoding='utf-8')


def test_errors(save, tmp_path, capsys):
    file, other = (save(f'{name}_5way-1shot_x', [acc]) for name, acc in [('a', 20.0), ('b', 40.0)])
    empty = save_overview(Path(file).parent.parent / 'e_5way-1shot_x')
    stale = save_overview(Path(file).parent.parent / 's_5way-1shot_x', gone={})
    (tmp_path / 'other.json').write_text('{"acc": 1}')
    (tmp_path / 'list.json').write_text('[]')
    (tmp_path / 'broken.json').write_text('{')
    wrong = save('w_5way-1shot_x', [20.0], episode_acc=[20.0, 40.0])
    for arguments, message in {
        (file, f'A={file}', f'A={other}'): "Several results are for 'A' on 'x 5way-1shot'",
        (file, empty): 'has no settings. Run the test again',
        (file, stale): 'few_shot_result_gone.json cannot be read',
        (str(tmp_path / 'gone.json'),): 'gone.json cannot be read',
        (str(tmp_path / 'broken.json'),): 'broken.json cannot be read',
        (str(tmp_path / 'other.json'),): 'other.json is no result of FewShotMetric',
        (str(tmp_path / 'list.json'),): 'list.json is no result of FewShotMetric',
        (wrong,): 'has 1 episodes, but 2 values in episode_acc',
    }.items():
        assert tool.main(list(arguments)) == 1
        assert message in capsys.readouterr().err


def test_a_list_that_is_not_known_is_no_other_list(save):
    files = [save('a_5way-1shot_x', [20.0, 40.0]), save('b_5way-1shot_x', [20.0, 60.0], list_hash=None)]
    assert tool.remarks([read(file) for file in files]) == []


def test_results_of_the_metric_are_understood(tmp_path):
    for name, hits in dict(one=[1, 1, 0], other=[1, 0, 0]).items():
        metric = FewShotMetric(out_file=tmp_path / f'{name}_5way-1shot_x' / 'few_shot_result.json')
        metric.dataset_meta = dict(list_hash='l')
        for number, hit in enumerate(hits):
            metric.process(
                None,
                [
                    dict(
                        episode_id=number,
                        episode_digest=f'digest{number}',
                        class_ids=(0, 1),
                        class_names=('a', 'b'),
                        pred_label=torch.tensor([0, hit]),
                        gt_label=torch.tensor([0, 1]),
                    )
                ],
            )
        metric.evaluate(len(hits))
    results = [read(str(path)) for path in sorted(tmp_path.glob('*/*.json'))]
    assert [(result.method, result.list_hash) for result in results] == [('one', 'l'), ('other', 'l')]
    [test] = tool.paired_tests(results)
    assert test.difference == pytest.approx(50 / 3)
    assert tool.remarks(results) == []
