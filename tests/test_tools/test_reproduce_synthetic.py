"""The table of SyntheticMotion: the real command on a tiny data set, and its parts on results that are made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from fsar_llava.datasets.synthetic_motion import CLASSES
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / 'tools/analysis/reproduce_synthetic.py'
SPLITS = dict(train=set(CLASSES[:38]), val=set(CLASSES[38:50]), test=set(CLASSES[50:]))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules beside the script can be imported."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))


def write_result(folder: Path, split: str, test: str, episodes: list[float]) -> None:
    """What ``tools/test.py`` and its job leave."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / f'{split}.json').write_text('{}')
    found = dict(acc=float(np.mean(episodes)), episode_acc=episodes, episode_hash='x')
    (folder / split / f'few_shot_result_{test}.json').write_text(json.dumps(found))


def test_intervals_over_seeds_and_episodes(parts: None, tmp_path: Path) -> None:
    from synthetic_table.results import difference, score
    from synthetic_table.rows import Row
    from synthetic_table.settings import Settings

    settings = Settings(tmp_path, tmp_path)
    rows = [Row(f'a_seed{seed}', 'a', 'trained', 'tokens', seed=seed) for seed in range(3)]
    others = [Row(f'b_seed{seed}', 'b', 'trained', 'tokens', seed=seed) for seed in range(3)]
    for row, shift in zip(rows, (0.0, 2.0, 4.0)):
        write_result(row.folder(settings), 'test', '1shot', [60 + shift, 80 + shift])
    for row in others:
        write_result(row.folder(settings), 'test', '1shot', [50.0, 80.0])
    found = score(settings, rows, 'test', '1shot')
    assert found.acc == pytest.approx(72)
    assert found.per_seed == pytest.approx((70, 72, 74))
    assert found.over_seeds == pytest.approx(4.30265 * 2 / 3**0.5, rel=1e-4)  # t(0.975, 2 degrees) s / sqrt(n)
    assert found.over_episodes == pytest.approx(1.96 * 10 / 2**0.5)
    assert score(settings, [*rows, Row('missing', '', 'trained', 'tokens')], 'test', '1shot') is None
    gap, half = difference(settings, rows[:1], others[:1], '1shot')
    assert gap == pytest.approx(5)
    assert half == pytest.approx(1.96 * 5 / 2**0.5)


def test_checks_compare_with_intervals(parts: None) -> None:
    from synthetic_table.checks import make_checks
    from synthetic_table.results import Score

    def one(acc: float, seeds: float | None = None, episodes: float = 0.3) -> Score:
        return Score(acc, seeds, episodes, (acc,), 10, 'x')

    headline = {'unknown': one(80, 1.0), 'linear-visual': one(76, 0.5), 'linear-both': one(77.5, 2.0)}
    found = make_checks(3, {3: one(65), 4: one(79)}, headline)
    #        room, +10, apart, above all layers, apart (79.0 < 79.3), +3 of 77.5, apart
    assert [check['passed'] for check in found] == [True, True, True, True, False, False, False]
    assert [check['passed'] for check in make_checks(3, {3: one(76)}, headline)][:2] == [False, False]
    assert {check['passed'] for check in make_checks(3, {}, {})} == {None}


@pytest.mark.parametrize(
    ('best', 'layers', 'note'),
    [
        ({'0': 50, '1': 40, '2': 60, '3': 74, '4': 90}, ['2', '3'], True),
        ({'0': 20, '1': 46, '2': 60, '3': 74, '4': 74}, ['1', '2', '3', '4'], False),
        ({'1': 40, '2': 76}, ['2'], True),
        ({}, ['1', '2', '3', '4'], False),
    ],
)
def test_reference_layers_leave_room(parts: None, best: dict, layers: list, note: bool) -> None:
    from synthetic_table.choosing import reference_layers

    found, remark = reference_layers(best, ['1', '2', '3', '4'])
    assert found == layers
    assert bool(remark) == note


def test_jobs_are_made_after_the_data_that_they_depend_on(parts: None, tmp_path: Path, monkeypatch) -> None:
    from synthetic_table import choosing, stages
    from synthetic_table.settings import Settings, use_data
    from synthetic_table.tasks import extraction

    monkeypatch.setenv('FSAR_DATA_ROOT', '')  # use_data sets it
    settings = Settings(tmp_path / 'synthetic_motion', tmp_path / 'out', layers=(0, 1))
    use_data(settings.data)
    settings.out.mkdir()
    ran = {}

    class Pool:
        failed: dict = {}

        def expect(self, jobs: list) -> None:
            pass

        def run(self, jobs: list) -> None:
            ran.update({job.name: job.key for job in jobs})
            if 'data/make' in {job.name for job in jobs}:
                settings.data.mkdir()
                (settings.data / 'manifest.json').write_text('{}')

    monkeypatch.setattr(choosing, 'score', lambda *_: None)
    stages.run_stages(settings, Pool())
    for job in extraction(settings):
        assert ran[job.name] == job.key


@pytest.mark.slow
@pytest.mark.minutes
def test_quick_run_makes_table_and_figures_and_chooses_on_meta_val(tmp_path: Path) -> None:
    out, data = tmp_path / 'out', tmp_path / 'synthetic_motion'
    command = [sys.executable, str(SCRIPT), '--quick', '--data', str(data), '--out', str(out), '--jobs', '2']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(REPOSITORY), os.environ.get('PYTHONPATH', '')])}
    first = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    logs = ''.join(path.read_text()[-2000:] for path in out.glob('*/*/*.log') if not path.with_suffix('.json').exists())
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:] + logs
    table = json.loads((out / 'table.json').read_text())
    text = (out / 'table.md').read_text()
    for title in ('Methods', 'Checks', 'Choices on meta-val', 'Without parts', 'Layers', 'Without training'):
        assert f'## {title}' in text
    for name in ('learning_curve', 'ablations', 'layers'):
        assert 5_000 < (out / f'{name}.png').stat().st_size < 100_000
    assert {name: len(tasks) for name, tasks in table['headline'].items()} == {
        'linear-visual': 3,
        'linear-both': 3,
        'unknown': 3,
        'known': 2,
    }

    # Results named val are of meta-val classes, those named test of meta-test classes.
    seen = {'val': 0, 'test': 0}
    for path in (out / 'rows').glob('*/*/few_shot_result_*.json'):
        split = path.parent.name
        assert {entry['name'] for entry in json.loads(path.read_text())['per_class']} <= SPLITS[split], path
        seen[split] += 1
    assert min(seen.values()) > 10

    # What was chosen has the best accuracy on meta-val, and is what the headline row was trained with.
    layer, lr, *_ = table['steps']
    room = {k: acc for k, acc in layer['training_free'].items() if 45 <= acc <= 75 and k in layer['candidates']}
    allowed = room or layer['candidates']
    assert layer['chosen'] in allowed
    assert not room or layer['candidates'][layer['chosen']] == max(layer['candidates'][k] for k in room)
    for step in table['steps'][1:]:
        assert step['candidates'][step['chosen']] == max(step['candidates'].values())
    chosen = table['choices']
    (row,) = (out / 'rows').glob(
        f'fsar-llava_layer{layer["chosen"]}_lr{lr["chosen"]}_tau*_{chosen["fusion"]}*_{chosen["metric"]}_24*_seed1'
    )
    cfg = Config.fromfile(row / 'config.py')
    assert cfg.model.backbone.store == str(data / f'tokens_layer{layer["chosen"]}')
    assert cfg.optim_wrapper.optimizer.lr == float(lr['chosen']) == chosen['lr']
    assert cfg.model.cls_head.matching.fusion == chosen['fusion']

    # A second run has nothing to do.
    finished = {path: path.stat().st_mtime_ns for path in (out / 'rows').glob('*/*.json')}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=300)
    assert {path: path.stat().st_mtime_ns for path in (out / 'rows').glob('*/*.json')} == finished
