"""The configs on SyntheticMotion: on both miniatures from videos, on Video-LLaVA from stored tokens as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, load_tool

CONFIGS = {path.stem: path for path in (REPOSITORY / 'configs').glob('*/*_5way-1shot_synthetic-motion.py')}
ON_CLIP = ('clip-fsar_mini', 'ma-fsar_mini', 'clip-m2df_mini')
SMALL = [
    *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
    *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
    *('test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'),
    *('train_dataloader.dataset.num_episodes=2', 'train_dataloader.batch_size=2', 'train_cfg.max_epochs=1'),
    *('val_dataloader.dataset.num_episodes=2', 'test_dataloader.dataset.num_episodes=3'),
]


@pytest.fixture(scope='module')
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    arguments = ['--out', str(root / 'synthetic_motion'), '--videos-per-class', '3']
    load_tool('tools/data/make_synthetic_motion.py').main(arguments)
    return root


@pytest.fixture(autouse=True)
def _surroundings(benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FSAR_DATA_ROOT', str(benchmark))
    monkeypatch.chdir(REPOSITORY)  # where the weights of the miniature are found


def run(tool: str, name: str, *arguments: str, options: tuple[str, ...] = ()) -> None:
    config = str(CONFIGS[f'{name}_5way-1shot_synthetic-motion'])
    load_tool(f'tools/{tool}.py').main([config, *arguments, '--cfg-options', *SMALL, *options])


def result(work_dir: Path) -> dict:
    return json.loads((work_dir / 'few_shot_result.json').read_text())


@pytest.mark.parametrize('name', ['fsar-llava_mini_unknown', 'fsar-llava_mini_known', *ON_CLIP])
def test_from_videos(name, tmp_path):
    run('train', name, '--work-dir', str(tmp_path), '--seed', '0')
    (best,) = tmp_path.glob('best_few_shot_acc_*.pth')
    run('test', name, str(best), '--work-dir', str(tmp_path))
    found = result(tmp_path)
    assert found['episodes'] == 3
    run('test', name, str(best), '--work-dir', str(tmp_path), options=('test_cfg.type=TestLoop',))
    one_by_one = result(tmp_path)
    differing = {key for key in found.keys() | one_by_one.keys() if found.get(key) != one_by_one.get(key)}
    assert differing <= {'date', 'wall_time'}


@pytest.mark.parametrize('path', CONFIGS.values(), ids=list(CONFIGS))
def test_first_lines_say_how_to_run_it(path):
    tool = 'test' if path.stem.startswith('training-free') else 'train'
    assert f'python tools/{tool}.py {path.relative_to(REPOSITORY).as_posix()}' in path.read_text().split('_base_')[0]


def test_from_tokens_with_a_checkpoint_for_videos(benchmark, tmp_path):
    run('extract_tokens', 'fsar-llava_mini_unknown', '--out', str(benchmark / 'synthetic_motion/tokens'))
    run('train', 'fsar-llava_mini-tokens_unknown', '--work-dir', str(tmp_path / 'tokens'), '--seed', '0')
    (best,) = (tmp_path / 'tokens').glob('best_few_shot_acc_*.pth')
    for name in ('fsar-llava_mini-tokens_unknown', 'fsar-llava_mini_unknown'):
        run('test', name, str(best), '--work-dir', str(tmp_path / name))
    tokens, videos = (result(tmp_path / f'fsar-llava_mini{kind}_unknown') for kind in ('-tokens', ''))
    assert tokens['episode_hash'] == videos['episode_hash']
    assert tokens['episode_acc'] == videos['episode_acc']

    run('test', 'training-free_mini', 'none', '--work-dir', str(tmp_path / 'free'))
    results = [json.loads(path.read_text()) for path in (tmp_path / 'free').rglob('few_shot_result*.json')]
    hashes = {found.get('episode_hash') for found in results} - {None}
    assert hashes == {tokens['episode_hash']}
