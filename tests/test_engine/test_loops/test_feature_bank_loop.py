"""The feature bank gives what the per-episode loop gives."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import HOOKS, METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from fsar_llava import VideoFeatures
from fsar_llava.engine.loops import feature_bank_loop
from fsar_llava.engine.loops.evaluation_setting import EvaluationSetting
from fsar_llava.engine.loops.feature_bank_loop import FeatureBankLoop, _at
from fsar_llava.engine.loops.result_files import copy_for
from fsar_llava.engine.loops.settings_table import settings_table
from fsar_llava.features import FeatureBank
from fsar_llava.models.matching import BiMHM
from tests.conftest import REPOSITORY, load_tool
from tests.feature_bank import assert_equal_results
from tests.test_configs import LEAVES, shrink

OTAM = 'otam_resnet18_5way-1shot_toy-motion'
TRX = 'trx_resnet18_5way-1shot_toy-motion'
KNOWN = 'fsar-llava_tiny_known_5way-1shot_toy-motion'
QUICK = (
    OTAM,
    KNOWN,
    'otam_slowonly-r50_5way-1shot_toy-motion',
    'protonet_resnet18_5way-1shot_toy-motion',
    'fsar-llava_tiny_unknown_5way-1shot_toy-motion',
    'fsar-llava_tiny_unknown_5way-5shot_toy-motion',
    'clip-fsar_clip-vit-b16_5way-1shot_toy-motion',
)
ROUNDED = 0.005
"""How far bfloat16, which mixed precision is on a CPU, may move a probability."""


def test_quick_configs_exist() -> None:
    assert set(QUICK) <= set(LEAVES)


@pytest.mark.parametrize(
    'leaf', [leaf if leaf in QUICK else pytest.param(leaf, marks=pytest.mark.slow) for leaf in LEAVES]
)
def test_equal_to_the_loop_over_episodes(run_test: Callable[..., dict], leaf: str) -> None:
    one = run_test(leaf)
    other = run_test(leaf, type='FeatureBankTestLoop', video_batch_size=3, episode_batch_size=2)
    assert_equal_results(one['kept/results'], other['kept/results'])


def test_each_video_is_encoded_once(run_test: Callable[..., dict], monkeypatch: pytest.MonkeyPatch) -> None:
    from fsar_llava.models.backbones.frozen_video_llava import FrozenVideoLlava

    seen = []
    run_videos = FrozenVideoLlava._run_videos
    monkeypatch.setattr(
        FrozenVideoLlava,
        '_run_videos',
        lambda self, model, pixels: seen.append(len(pixels)) or run_videos(self, model, pixels),
    )

    def many_episodes(cfg: Config) -> None:
        cfg.test_dataloader.dataset.num_episodes = 40

    results = run_test(KNOWN, many_episodes, type='FeatureBankTestLoop')['kept/results']
    assert len(results) == 40
    assert sum(seen) == 30  # five classes of six videos, whatever the episodes ask about them


def test_settings_equal_runs_of_their_own(run_test: Callable[..., dict]) -> None:
    matching = dict(type=BiMHM, reduction='sum')  # a class, as in configs of pure Python, or its name
    groups = [['moving down', 'shrinking'], ['moving down then right', 'shrinking', 'moving left and back']]
    settings = [
        dict(),
        dict(num_ways=4, num_shots=2, name='wide'),
        dict(matching=matching, temperature=0.5),
        dict(num_ways=2, groups=groups),
    ]
    together = run_test(OTAM, type='FeatureBankTestLoop', settings=settings)

    def wide(cfg: Config) -> None:
        cfg.test_dataloader.sampler.update(num_ways=4, num_shots=2)

    def grouped(cfg: Config) -> None:
        cfg.test_dataloader.sampler.update(num_ways=2, groups=groups)

    def other_metric(cfg: Config) -> None:
        cfg.model.cls_head.matching, cfg.model.cls_head.temperature = matching, 0.5

    plain = run_test(OTAM)['kept/results']
    assert_equal_results(together['kept/results'], plain)
    assert_equal_results(together['3way-1shot/kept/results'], plain)
    assert_equal_results(together['wide/kept/results'], run_test(OTAM, wide)['kept/results'])
    assert_equal_results(together['2way-1shot_2groups/kept/results'], run_test(OTAM, grouped)['kept/results'])
    alone = run_test(OTAM, other_metric)['kept/results']
    assert_equal_results(together['3way-1shot_BiMHM_0.5/kept/results'], alone)


def test_settings_keep_the_weights_of_the_model(run_test: Callable[..., dict]) -> None:
    matching = Config.fromfile(LEAVES[TRX]).model.cls_head.matching
    together = run_test(TRX, type='FeatureBankTestLoop', settings=[dict(), dict(matching=matching, name='again')])
    assert_equal_results(together['kept/results'], together['again/kept/results'])
    other = dict(matching, cardinalities=(2,))
    with pytest.raises(ValueError, match=r"setting 'other' wants a TRX with weights that .*does not have"):
        run_test(TRX, type='FeatureBankTestLoop', settings=[dict(matching=other, name='other')])


def test_settings_take_the_weights_that_a_hook_puts_in(run_test: Callable[..., dict]) -> None:
    """As mmengine's EMAHook does it: averages at the beginning of the epoch."""

    def average(cfg: Config) -> None:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='Disturb'), dict(type='EMAHook')]

    matching = Config.fromfile(LEAVES[TRX]).model.cls_head.matching
    settings = [dict(), dict(matching=matching, name='again')]
    together = run_test(TRX, average, type='FeatureBankTestLoop', settings=settings)
    plain = run_test(TRX, average)['kept/results']
    assert_equal_results(together['kept/results'], plain)
    assert_equal_results(together['again/kept/results'], plain)


@HOOKS.register_module(force=True)
class Disturb(Hook):
    """Gives the model other weights than its averages."""

    def before_test(self, runner: Runner) -> None:
        for parameter in runner.model.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))


def test_a_bank_elsewhere_gets_a_head_of_its_own() -> None:
    head = MODELS.build(dict(type='PrototypeHead', matching=dict(type='TRX', in_channels=6, num_frames=5)))
    assert _at(head, torch.device('cpu')) is head
    other = _at(head, torch.device('meta'))
    assert {weight.device.type for weight in other.parameters()} == {'meta'}
    assert {weight.device.type for weight in head.parameters()} == {'cpu'}


def test_mixed_precision_is_that_of_the_loop_over_episodes(run_test: Callable[..., dict]) -> None:
    plain, one, other = (
        torch.stack([result['pred_scores'] for result in run_test(OTAM, type=loop, fp16=fp16)['kept/results']])
        for loop, fp16 in [('FeatureBankTestLoop', False), ('FeatureBankTestLoop', True), ('TestLoop', True)]
    )
    assert not torch.equal(plain, one)
    torch.testing.assert_close(one, other, atol=ROUNDED, rtol=0)
    torch.testing.assert_close(one, plain, atol=ROUNDED, rtol=0)


def test_where_the_features_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the model's device while there is room for them twice, else in main memory; there as well if asked to."""
    messages: list[str] = []
    runner = SimpleNamespace(logger=SimpleNamespace(warning=messages.append))
    features = VideoFeatures(torch.empty(2, 4, 8, device='meta'))  # rows of 128 bytes
    for bank_device, free, expected in [(None, 1281, 'meta'), ('cpu', 1281, 'cpu'), ('cpu', 0, 'cpu')]:
        loop = SimpleNamespace(bank_device=bank_device, runner=runner)
        monkeypatch.setattr(feature_bank_loop, 'free_memory', lambda device, free=free: free)
        assert FeatureBankLoop._bank_device(loop, features, num_rows=5) == torch.device(expected)
    assert messages == []
    monkeypatch.setattr(feature_bank_loop, 'free_memory', lambda device: 1280)
    loop = SimpleNamespace(bank_device=None, runner=runner)
    assert FeatureBankLoop._bank_device(loop, features, num_rows=5) == torch.device('cpu')
    assert "Set bank_device='cpu' to silence this" in messages[0]


def test_names_stand_in_the_table_as_they_are() -> None:
    table = settings_table({'otam [a]': {'few_shot/acc': 61.5, 'few_shot/ci95': 0.25}, '[/a]': {'top1': 3}})
    assert all(part in table for part in ('otam [a]', '61.50 ± 0.25', '[/a]', 'top1 3'))


def test_the_table_says_how_many_episodes_were_tested() -> None:
    table = settings_table({'a': {'x/acc': 61.5, 'x/ci95': 0.25, 'x/episodes': 70}, 'b': {'acc': 50, 'episodes': 8.0}})
    *_, first, second, _ = table.splitlines()
    assert re.findall(r'[\w.]+', first) == ['a', '70', '61.50', '0.25']
    assert re.findall(r'[\w.]+', second) == ['b', '8', '50.00']


def test_each_setting_has_files_of_its_own(tmp_path: Path) -> None:
    evaluator = Evaluator(
        [
            dict(type='FewShotMetric', out_file=str(tmp_path / 'result.json')),
            dict(type='DumpResults', out_file_path=str(tmp_path / 'dump.pkl')),
        ]
    )
    metric, dump = copy_for(evaluator, 'a').metrics
    assert Path(metric.out_file) == tmp_path / 'result_a.json'
    assert Path(dump.out_file_path) == tmp_path / 'dump_a.pkl'
    assert [Path(evaluator.metrics[0].out_file).name, evaluator.metrics[1].out_file_path] == [
        'result.json',
        str(tmp_path / 'dump.pkl'),
    ]


def test_files_of_settings(run_test: Callable[..., dict], tmp_path: Path) -> None:
    def write(cfg: Config) -> None:
        cfg.test_evaluator = dict(type='FewShotMetric', out_file=str(tmp_path / 'result.json'))

    metrics = run_test(OTAM, write, type='FeatureBankTestLoop', settings=[dict(name='a'), dict(num_shots=2, name='b')])
    assert metrics['few_shot/acc'] == metrics['a/few_shot/acc']
    overview = json.loads((tmp_path / 'result.json').read_text())
    for name, shots in dict(a=1, b=2).items():
        result = json.loads((tmp_path / f'result_{name}.json').read_text())
        assert [result[key] for key in ('num_ways', 'num_shots', 'num_queries')] == [3, shots, 1]
        assert result['acc'] == metrics[f'{name}/few_shot/acc'] == overview['settings'][name]['few_shot/acc']
        assert result['wall_time'].keys() == {'encoding', 'scoring'}
        assert {'per_class', 'episode_hash', 'list_hash', 'versions', 'ci95'} <= result.keys()
    compared = load_tool('tools/analysis/compare.py').read_results(str(tmp_path / 'result.json'))
    assert [result[:2] for result in compared] == [
        (f'{tmp_path.name} a', 'toy-motion 3way-1shot'),
        (f'{tmp_path.name} b', 'toy-motion 3way-2shot'),
    ]


@METRICS.register_module(force=True)
class OddNumbers(BaseMetric):
    """Gives what metrics give here and there."""

    default_prefix = 'odd'

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict]) -> dict:
        return dict(none=float('nan'), numpy=np.float32(0.5), torch=torch.tensor(2))


def test_the_overview_takes_numbers_of_any_metric(run_test: Callable[..., dict], tmp_path: Path) -> None:
    def write(cfg: Config) -> None:
        cfg.test_evaluator = [
            dict(type='FewShotMetric', out_file=str(tmp_path / 'result.json')),
            dict(type='OddNumbers'),
        ]

    run_test(OTAM, write, type='FeatureBankTestLoop', settings=[dict(name='a')])
    found = json.loads((tmp_path / 'result.json').read_text(), parse_constant=pytest.fail)['settings']['a']
    assert [found[f'odd/{name}'] for name in ('none', 'numpy', 'torch')] == [None, 0.5, 2]


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(shots=5), r"unknown keys \['shots'\]"),
        ('dict(num_shots=5)', r"is a dict, .* but got 'dict\(num_shots=5\)'.*write settings into a config"),
        (dict(name='a/b'), r"slash, but is 'a/b'"),
        (dict(name=5), "name of a setting must be a text, such as name='OTAM', but is 5"),
        (dict(matching='OTAM'), r"matching of a setting must be a config, such as .*type='OTAM'\), but is 'OTAM'"),
        (dict(matching=None), r'matching of a setting must be a config, .*, but is None'),
        (dict(matching=dict(reduction='sum')), r"matching of a setting must .*type=.* but is \{'reduction': 'sum'\}"),
        (dict(prototype='MeanPrototype'), r"prototype of a setting must be .*, or None, but is 'MeanPrototype'"),
        (dict(temperature='0.5'), r"temperature .* must be a positive number, .*=0\.5, but is '0\.5'"),
        (dict(temperature=True), r'temperature .* must be a positive number, .* but is True'),
        (dict(temperature=0.0), r'temperature .* must be a positive number, .* but is 0\.0'),
    ],
)
def test_wrong_settings(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationSetting.from_config(setting, SimpleNamespace(num_ways=5, num_shots=1))


@pytest.mark.parametrize(('name', 'size'), [('video_batch_size', 0), ('episode_batch_size', -1)])
def test_wrong_batch_sizes(run_test: Callable[..., dict], name: str, size: int) -> None:
    with pytest.raises(ValueError, match=f'{name} must be an integer of at least 1, but is {size}'):
        run_test(OTAM, type='FeatureBankTestLoop', **{name: size})


def test_settings_that_cannot_be_scored_do_not_cost_a_pass(run_test: Callable[..., dict], monkeypatch) -> None:
    monkeypatch.setattr(FeatureBank, 'add', lambda *args: pytest.fail('videos were encoded'))
    settings = [dict(), dict(prototype=dict(type='MeanPrototype'))]
    with pytest.raises(ValueError, match='HybridRelation conditions the supports on the query'):
        run_test('hyrsm_resnet18_5way-1shot_toy-motion', type='FeatureBankTestLoop', settings=settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ([dict(name='a'), dict(name='a')], r"called \['a'\]"),
        ([dict(num_ways=50)], '50-way episodes need at least 50 classes'),
        ([dict(name='t', matching=dict(type='TRX', in_channels=512))], "setting 't' wants a TRX .*it is a OTAM"),
    ],
)
def test_settings_are_checked_before_the_training(
    run_test: Callable[..., dict], monkeypatch: pytest.MonkeyPatch, settings: list[dict], message: str
) -> None:
    monkeypatch.setattr(FeatureBankLoop, 'run', lambda self: pytest.fail('the loop ran'))
    with pytest.raises(ValueError, match=message):
        run_test(OTAM, type='FeatureBankTestLoop', settings=settings)


@pytest.mark.parametrize(
    'step',
    [dict(type='Flip', flip_ratio=0.1), dict(type='RandomCrop', size=24)],
    ids=['rare Flip', 'RandomCrop'],
)
def test_random_pipelines_are_refused(run_test: Callable[..., dict], step: dict) -> None:
    def insert(cfg: Config) -> None:
        cfg.test_dataloader.dataset.dataset.pipeline.insert(-2, step)

    with pytest.raises(ValueError, match=f'The pipeline is random: {step["type"]}'):
        run_test(OTAM, insert, type='FeatureBankTestLoop')


def test_random_sampling_is_refused(run_test: Callable[..., dict]) -> None:
    def sample_randomly(cfg: Config) -> None:
        [sample] = [step for step in cfg.test_dataloader.dataset.dataset.pipeline if step.type == 'SampleFrames']
        sample.test_mode = False

    with pytest.raises(ValueError, match=r'The pipeline is random: SampleFrames.*test_mode is False'):
        run_test(OTAM, sample_randomly, type='FeatureBankTestLoop')


@pytest.mark.slow
@pytest.mark.parametrize('leaf', [OTAM, KNOWN])
def test_one_and_three_processes_write_the_same_result(leaf: str, data_root: Path, tmp_path: Path) -> None:
    cfg = shrink(Config.fromfile(LEAVES[leaf]), leaf)
    cfg.custom_imports.imports = ['fsar_llava', 'fsar_llava.engine.loops']
    cfg.test_cfg = dict(type='FeatureBankTestLoop', video_batch_size=4, episode_batch_size=3)
    if leaf == OTAM:  # angles would not show that a video which two processes encode counts twice
        cfg.model.cls_head.matching = dict(type='EuclideanMatching')
    cfg.test_dataloader.dataset.num_episodes = 20
    cfg.randomness = dict(seed=0)
    cfg.dump(tmp_path / 'config.py')
    tool, arguments = 'tools/test.py', [str(tmp_path / 'config.py'), 'none', '--work-dir']
    load_tool(tool).main([*arguments, str(tmp_path / '1'), '--dump', str(tmp_path / '1.pkl')])
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=3', '--standalone']
    command = [*launch, str(REPOSITORY / tool), *arguments, str(tmp_path / '3'), '--launcher=pytorch']
    command += ['--dump', str(tmp_path / '3.pkl')]
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, three = (json.loads((tmp_path / count / 'few_shot_result.json').read_text()) for count in '13')
    for result in (one, three):
        del result['wall_time'], result['date']
    assert one == three
    assert one['episodes'] == 20
    dumps = [pickle.loads((tmp_path / f'{count}.pkl').read_bytes()) for count in '13']
    for found, expected in zip(*dumps, strict=True):
        assert found['episode_id'] == expected['episode_id']
        assert torch.equal(found['pred_scores'], expected['pred_scores'])


class TestUnreadableVideos:
    """Of each class two videos cannot be decoded, so that some of those that take their place cannot either."""

    @pytest.fixture
    def broken(self, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        root = tmp_path / 'data' / 'toy_motion'
        shutil.copytree(data_root / 'toy_motion', root)
        monkeypatch.setenv('FSAR_DATA_ROOT', str(root.parent))
        names = [line.split('\t')[0] for line in (root / 'test.txt').read_text().splitlines()]
        paths = [root / 'videos' / name for number, name in enumerate(names) if number % 6 in (0, 3)]
        for path in paths:
            path.write_bytes(b'')
        return paths

    @staticmethod
    def replace(cfg: Config) -> None:
        cfg.test_dataloader.dataset.on_error = 'replace'
        cfg.test_dataloader.dataset.num_episodes = 12

    @pytest.mark.parametrize('leaf', [OTAM, KNOWN])
    def test_replaced_as_in_the_loop_over_episodes(
        self, run_test: Callable[..., dict], broken: list[Path], tmp_path: Path, leaf: str
    ) -> None:
        """And the results say so: all of these videos are drawn, and no other is unreadable."""

        def write(cfg: Config) -> None:
            self.replace(cfg)
            cfg.test_evaluator = [cfg.test_evaluator, dict(type='FewShotMetric', out_file=str(file))]

        file, results = tmp_path / 'result.json', []
        bank = dict(type='FeatureBankTestLoop', video_batch_size=3, episode_batch_size=5)
        for test_cfg in (dict(type='TestLoop'), bank):
            results.append(run_test(leaf, write, **test_cfg)['kept/results'])
            notes = json.loads(file.read_text())['notes']
            assert notes.count(f'{len(broken)} videos could not be loaded and were replaced') == 1
            file.unlink()
        assert_equal_results(*results)

    def test_the_log_names_those_of_other_processes(
        self, run_test: Callable[..., dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        def warn(cfg: Config) -> None:
            self.replace(cfg)
            cfg.log_level = 'WARNING'

        elsewhere = [{0: 'Cannot load the video of another process'}]
        monkeypatch.setattr(
            feature_bank_loop, 'all_gather_object', lambda own: [own, elsewhere.pop() if elsewhere else {}]
        )
        run_test(OTAM, warn, type='FeatureBankTestLoop')
        assert 'Cannot load the video of another process' in ''.join(capsys.readouterr())

    def test_the_log_counts_the_batches_of_the_first_pass(
        self, run_test: Callable[..., dict], broken: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, ended = [], []
        for name, counts in (('before_test_epoch', begun), ('after_test_epoch', ended)):
            monkeypatch.setattr(
                LoggerHook, name, lambda self, runner, counts=counts, **_: counts.append(len(runner.test_dataloader))
            )
        run_test(OTAM, self.replace, type='FeatureBankTestLoop', video_batch_size=3)
        assert begun == ended
        assert begun[0] > 1

    def test_replacement_is_needed(self, run_test: Callable[..., dict], data_root: Path, request) -> None:
        """The test above means something: most of its episodes are others than with intact videos."""
        whole = run_test(OTAM, self.replace, type='FeatureBankTestLoop')['kept/results']
        request.getfixturevalue('broken')
        replaced = run_test(OTAM, self.replace, type='FeatureBankTestLoop')['kept/results']
        changed = [one['episode_digest'] != other['episode_digest'] for one, other in zip(whole, replaced)]
        assert sum(changed) > 6

    def test_refused_by_default(self, run_test: Callable[..., dict], broken: list[Path]) -> None:
        with pytest.raises(RuntimeError, match=r"Cannot load the video .*on_error='replace'"):
            run_test(OTAM, type='FeatureBankTestLoop')

    def test_the_results_of_settings_say_so(
        self, run_test: Callable[..., dict], broken: list[Path], tmp_path: Path
    ) -> None:
        def write(cfg: Config) -> None:
            self.replace(cfg)
            cfg.test_evaluator = dict(type='FewShotMetric', out_file=str(tmp_path / 'result.json'))

        run_test(OTAM, write, type='FeatureBankTestLoop', settings=[dict(name='a'), dict(num_shots=2, name='b')])
        for name in 'ab':
            notes = json.loads((tmp_path / f'result_{name}.json').read_text())['notes']
            assert notes.count(f'{len(broken)} videos could not be loaded and were replaced') == 1

    def test_no_video_at_all(self, run_test: Callable[..., dict]) -> None:
        def move(cfg: Config) -> None:
            cfg.test_dataloader.dataset.dataset.data_prefix = dict(video='elsewhere')

        with pytest.raises(
            RuntimeError, match=r'None of the \d+ videos can be loaded. Check data_root and data_prefix'
        ):
            run_test(OTAM, move, type='FeatureBankTestLoop')

    def test_no_video_left(self, run_test: Callable[..., dict], broken: list[Path]) -> None:
        for path in broken[0].parent.iterdir():
            path.write_bytes(b'')
        with pytest.raises(RuntimeError, match=r'Episode \d+: .* Nor can any of the \d videos of the class'):
            run_test(OTAM, self.replace, type='FeatureBankTestLoop')
