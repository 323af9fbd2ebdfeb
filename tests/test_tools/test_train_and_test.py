"""The tools as users call them: train, best checkpoint, test, resume, dump."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import mmaction
import pytest
import torch
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from fsar_llava.evaluation import FewShotMetric
from tests.conftest import REPOSITORY, load_tool

CONFIG = str(REPOSITORY / 'configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py')
PROTONET = str(REPOSITORY / 'configs/protonet/protonet_resnet18_5way-1shot_toy-motion.py')
SMALL = [
    *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
    *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
    *('test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'),
    *('train_dataloader.dataset.num_episodes=4', 'train_dataloader.batch_size=2'),
    *('val_dataloader.dataset.num_episodes=4', 'test_dataloader.dataset.num_episodes=9'),
    'train_cfg.max_epochs=2',
    *('val_cfg.type=ValLoop', 'test_cfg.type=TestLoop'),
]
SEEN: list[str] = []


@HOOKS.register_module()
class RecordEpisodes(Hook):
    """Notes the episodes that a training sees."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        SEEN.extend(dict.fromkeys(sample.metainfo['episode_digest'] for sample in data_batch['data_samples']))


def train(work_dir: Path, *options: str, flags: tuple[str, ...] = ()) -> list[str]:
    """Train in this process; the digests of the episodes in order."""
    SEEN.clear()
    recorder = 'custom_hooks.1.type=RecordEpisodes'
    load_tool('tools/train.py').main(
        [CONFIG, '--work-dir', str(work_dir), '--seed', '3', *flags, '--cfg-options', *SMALL, recorder, *options]
    )
    return list(SEEN)


def evaluate(
    checkpoint: Path | str, work_dir: Path, *options: str, flags: tuple[str, ...] = (), config: str = CONFIG
) -> dict:
    """Test in this process; the result file."""
    load_tool('tools/test.py').main(
        [config, str(checkpoint), '--work-dir', str(work_dir), *flags, '--cfg-options', *SMALL, *options]
    )
    return json.loads((work_dir / 'few_shot_result.json').read_text())


def run(command: list[str]) -> str:
    """Run a command in the repository as a user would."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    process = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PATH': path, 'PORT': port},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    return process.stdout


@pytest.fixture(scope='module', autouse=True)
def _data_root(toy_videos):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FSAR_DATA_ROOT', str(toy_videos.parent))
        yield


@pytest.fixture(scope='module')
def trained(tmp_path_factory, _data_root) -> tuple[Path, list[str]]:
    """A trained work dir, and the episodes that were seen."""
    work_dir = tmp_path_factory.mktemp('trained')
    return work_dir, train(work_dir)


@pytest.fixture(scope='module', params=['TestLoop', 'FeatureBankTestLoop'])
def dumped(request, trained, tmp_path_factory) -> tuple[dict, list[dict]]:
    """The result file of a test, by either loop, and the predictions that it dumped."""
    work_dir = tmp_path_factory.mktemp('dumped')
    dump = work_dir / 'predictions.pkl'
    result = evaluate(best(trained[0]), work_dir, f'test_cfg.type={request.param}', flags=('--dump', str(dump)))
    return result, pickle.loads(dump.read_bytes())


def best(work_dir: Path) -> Path:
    (checkpoint,) = work_dir.glob('best_few_shot_acc_*.pth')
    return checkpoint


def test_checkpoint_holds_the_tuned_parameters_only(trained):
    checkpoint = torch.load(best(trained[0]), weights_only=True)
    assert {name.split('.')[0] for name in checkpoint['state_dict']} == {'neck', 'cls_head'}
    assert sum(tensor.numel() for tensor in checkpoint['state_dict'].values()) < 300_000
    identity = checkpoint['meta']['fsar_llava']
    assert identity['backbone']['layer'] == 2
    assert json.loads(json.dumps(identity)) == identity


def test_best_checkpoint_round_trip(trained, dumped):
    result, predictions = dumped
    assert result['episodes'] == 9
    assert (result['config'], result['checkpoint'], result['notes']) == (CONFIG, str(best(trained[0])), [])
    assert len(predictions) == 9
    rescored = Evaluator(dict(type='FewShotMetric')).offline_evaluate(predictions)
    assert rescored['few_shot/acc'] == result['acc']
    assert rescored['few_shot/ci95'] == result['ci95']
    hits = [float((p['pred_scores'].argmax(-1) == p['gt_label']).float().mean()) for p in predictions]
    assert result['acc'] == pytest.approx(100 * sum(hits) / 9)


def test_feature_bank_gives_the_result_of_the_standard_loop(trained, tmp_path):
    options = ('test_dataloader.sampler.num_shots=3', 'test_dataloader.sampler.num_queries=2')
    results = [
        evaluate(best(trained[0]), tmp_path / loop, f'test_cfg.type={loop}', *options)
        for loop in ('TestLoop', 'FeatureBankTestLoop')
    ]
    for key in ('acc', 'ci95', 'episode_acc', 'episode_hash', 'list_hash', 'confusion'):
        assert results[0][key] == results[1][key]
    for result in results:  # whatever the config is called
        assert [result[key] for key in ('num_ways', 'num_shots', 'num_queries')] == [5, 3, 2]


def test_the_dump_holds_each_number_once(dumped):
    for episode in dumped[1]:
        for name in ('pred_scores', 'pred_label', 'gt_label'):
            assert episode[name].untyped_storage().nbytes() == episode[name].nbytes


def test_the_dump_says_which_videos_are_misread(dumped, toy_videos):
    result, predictions = dumped
    lines = [line.split('\t') for line in (toy_videos / 'test.txt').read_text().splitlines()]
    label_of = {path: int(label) for path, label in lines}
    misread = []
    for episode in predictions:
        assert len(set(episode['query_names'])) == len(episode['query_names']) == len(episode['pred_label'])
        for video, pred, truth in zip(episode['query_names'], episode['pred_label'], episode['gt_label']):
            assert label_of[video] == episode['class_ids'][truth]
            if pred != truth:
                misread.append((video, episode['class_names'][pred]))
    confusion = result['confusion']
    assert len(misread) == sum(map(sum, confusion)) - sum(row[k] for k, row in enumerate(confusion)) > 0


def test_resumed_training_sees_the_same_episodes(trained, tmp_path):
    _, uninterrupted = trained
    assert len(set(uninterrupted)) == 8
    first = train(tmp_path, 'train_cfg.max_epochs=1')
    second = train(tmp_path, flags=('--resume',))
    assert first + second == uninterrupted


def test_resumed_training_without_a_seed_goes_on_with_its_own(tmp_path):
    train(tmp_path / 'killed', 'train_cfg.max_epochs=1', 'randomness.seed=None')
    checkpoint = torch.load(tmp_path / 'killed/epoch_1.pth', weights_only=True, map_location='cpu')
    resumed = train(tmp_path / 'killed', 'randomness.seed=None', flags=('--resume',))
    assert len(resumed) == 4
    assert train(tmp_path / 'whole', f'randomness.seed={checkpoint["meta"]["seed"]}')[4:] == resumed


def test_nothing_to_resume_yet(tmp_path):
    assert len(train(tmp_path, 'train_cfg.max_epochs=1', 'randomness.seed=None', flags=('--resume',))) == 4


def test_seed_decides_the_training_episodes(trained, tmp_path):
    other = train(tmp_path, 'train_cfg.max_epochs=1', 'randomness.seed=4')
    assert not set(other) & set(trained[1])


def test_seed_decides_the_training_episodes_of_ranks_with_seeds_of_their_own(trained, tmp_path):
    options = ('train_cfg.max_epochs=1', '--diff-rank-seed')
    same = train(tmp_path / '3', options[0], flags=options[1:])
    assert same == trained[1][:4]  # one epoch of two
    assert not set(train(tmp_path / '4', options[0], 'randomness.seed=4', flags=options[1:])) & set(same)


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('model.backbone.layer=3', r'backbone\.layer: checkpoint 2, config 3'),
        ('model.backbone.grid=2', r'backbone\.grid: checkpoint 4, config 2'),
        ('model.prompts=known', r'prompts'),
        ('model.backbone.architecture.seed=1', r'backbone\.fingerprint: checkpoint'),
    ],
)
def test_checkpoint_of_another_backbone_is_refused(trained, tmp_path, option, words):
    with pytest.raises(ValueError, match=words):
        evaluate(best(trained[0]), tmp_path, option)


def test_mismatch_can_be_allowed(trained, tmp_path):
    options = ('model.backbone.layer=3', 'custom_hooks.0.strict=False')
    assert evaluate(best(trained[0]), tmp_path, *options)['episodes'] == 9


def test_checkpoint_of_another_model_is_refused(trained, tmp_path):
    with pytest.raises(
        ValueError, match=r'best_few_shot_acc_.* lacks \d+ of the \d+ weights of the model in their shape'
    ):
        evaluate(best(trained[0]), tmp_path, config=PROTONET)


def test_random_weights_are_marked_and_the_same_each_time(tmp_path):
    first, second = (evaluate('none', tmp_path / name, config=PROTONET) for name in 'ab')
    assert first['notes'] == ['tested without a checkpoint']
    assert first['episode_acc'] == second['episode_acc']


def test_training_free_model_without_a_checkpoint(tmp_path):
    config = tmp_path / 'training_free.py'
    config.write_text(
        f'_base_ = {CONFIG!r}\n'
        "model = dict(neck=None, cls_head=dict(_delete_=True, type='PrototypeHead', "
        "matching=dict(type='CosineMatching')))\n"
    )
    result = evaluate('none', tmp_path, config=str(config))
    assert (result['episodes'], result['notes']) == (9, [])


def test_pictures_of_episodes(trained, tmp_path):
    evaluate(best(trained[0]), tmp_path, flags=('--show-dir', str(tmp_path / 'show'), '--interval', '4'))
    assert sorted(path.name for path in (tmp_path / 'show').iterdir()) == [
        f'episode_{number:05d}.png' for number in (0, 4, 8)
    ]


def test_options_of_the_evaluator(tmp_path):
    tool = load_tool('tools/test.py')
    out_file = str(tmp_path / 'elsewhere.json')
    args = tool.parse_args([CONFIG, 'none', '--cfg-options', f'test_evaluator.out_file={out_file}'])
    assert [metric.out_file for metric in tool.merge_args(Config.fromfile(CONFIG), args).test_evaluator] == [out_file]


def test_classes_in_a_config_mean_their_names(tmp_path):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({'test_evaluator.type': FewShotMetric, 'optim_wrapper.type': OptimWrapper})
    test, train = (load_tool(f'tools/{name}.py') for name in ('test', 'train'))
    args = test.parse_args([CONFIG, 'none', '--work-dir', str(tmp_path)])
    [metric] = test.merge_args(cfg, args).test_evaluator
    assert metric.out_file == str(tmp_path / 'few_shot_result.json')
    assert train.merge_args(cfg, train.parse_args([CONFIG, '--amp'])).optim_wrapper.type == 'AmpOptimWrapper'


def test_bad_dump_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'results\.json'"):
        load_tool('tools/test.py').main([CONFIG, 'none', '--work-dir', str(tmp_path), '--dump', 'results.json'])


def test_progress_bar_on_a_terminal(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('FORCE_COLOR', '1')
    evaluate(best(trained[0]), tmp_path)
    assert '3/3' in capsys.readouterr().out  # 9 episodes in batches of four


@pytest.mark.slow
def test_one_and_four_processes_give_the_same_result(trained, tmp_path):
    checkpoint, episodes = best(trained[0]), 'test_dataloader.dataset.num_episodes=33'
    one = evaluate(checkpoint, tmp_path / 'one', episodes)
    arguments = [CONFIG, str(checkpoint), '4', '--work-dir', str(tmp_path / 'four')]
    run(['bash', 'tools/dist_test.sh', *arguments, '--cfg-options', *SMALL, episodes])
    four = json.loads((tmp_path / 'four' / 'few_shot_result.json').read_text())
    for key in ('acc', 'ci95', 'episode_hash'):
        assert four[key] == one[key]
    assert four['episodes'] == 33


@pytest.mark.slow
def test_training_in_two_processes(tmp_path):
    arguments = [CONFIG, '2', '--work-dir', str(tmp_path), '--seed', '3']
    run(['bash', 'tools/dist_train.sh', *arguments, '--cfg-options', *SMALL])
    state = torch.load(best(tmp_path), weights_only=True)['state_dict']
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.slow
def test_tools_of_mmaction2_run_our_configs(tmp_path):
    tools = Path(mmaction.__file__).parent / '.mim' / 'tools'
    if not tools.exists():
        pytest.skip('MMAction2 is installed in editable mode, which has no copy of its tools.')
    options = ['--work-dir', str(tmp_path), '--cfg-options', *SMALL]
    run([sys.executable, str(tools / 'train.py'), CONFIG, *options])
    run([sys.executable, str(tools / 'test.py'), CONFIG, str(best(tmp_path)), *options])


def test_work_dir_defaults_to_the_name_of_the_config():
    tool = load_tool('tools/train.py')
    cfg = tool.merge_args(Config.fromfile(CONFIG), tool.parse_args([CONFIG]))
    assert cfg.work_dir == 'work_dirs/fsar-llava_tiny_unknown_5way-1shot_toy-motion'
