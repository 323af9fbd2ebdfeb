"""Packages that are built hold the configs and tools, and work; the model index names every config."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile

import pytest
import yaml

from tests.conftest import REPOSITORY

SOURCES = (
    *('fsar_llava', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'MANIFEST.in'),
    *('README.md', 'LICENSE', 'model-index.yml'),
)


def test_source_distribution_holds_what_the_build_copies(tmp_path):
    command = [sys.executable, 'setup.py', '-q', 'sdist', '-d', str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=copy_sources(tmp_path / 'source'))
    [archive] = tmp_path.glob('*.tar.gz')
    with tarfile.open(archive) as content:
        names = {name.partition('/')[2] for name in content.getnames()}
    shipped = [path.relative_to(REPOSITORY).as_posix() for folder in ('configs', 'tools') for path in files(folder)]
    assert len(shipped) > 150
    assert names >= {*shipped, 'model-index.yml', 'fsar_llava/datasets/splits/hmdb51.json'}


def copy_sources(folder):
    folder.mkdir()
    for name in SOURCES:
        path = REPOSITORY / name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, folder / name)
    return folder


def files(folder):
    return [path for path in (REPOSITORY / folder).rglob('*') if path.is_file() and '__pycache__' not in path.parts]


def test_model_index_names_every_config():
    models = []
    for path in yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())['Import']:
        part = yaml.safe_load((REPOSITORY / path).read_text())
        [collection] = part['Collections']
        assert (REPOSITORY / collection['README']).parent == (REPOSITORY / path).parent
        assert {model['In Collection'] for model in part['Models']} == {collection['Name']}
        models += part['Models']
    assert all(model['Name'] == model['Config'].rpartition('/')[2].removesuffix('.py') for model in models)
    shipped = [path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / 'configs').glob('[!_]*/*.py')]
    assert sorted(model['Config'] for model in models) == sorted(shipped)


@pytest.mark.slow
def test_installed_copy_trains(toy_videos, tmp_path):
    # Built from a copy, so that no build folder is left behind.
    source, site = copy_sources(tmp_path / 'source'), tmp_path / 'site'
    install = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--target']
    subprocess.run([*install, str(site), str(source)], check=True, capture_output=True)
    shutil.rmtree(source)

    installed = site / 'fsar_llava' / '.mim'
    config = installed / 'configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py'
    options = [
        *('train_cfg.max_epochs=1', 'train_dataloader.dataset.num_episodes=2', 'train_dataloader.batch_size=1'),
        *('val_dataloader.dataset.num_episodes=2', 'default_hooks.logger.interval=1'),
    ]
    process = subprocess.run(
        [sys.executable, str(installed / 'tools/train.py'), str(config), '--cfg-options', *options],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(site), 'FSAR_DATA_ROOT': str(toy_videos.parent), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    where = "from importlib.util import find_spec; print(find_spec('fsar_llava').origin)"
    environment = {**os.environ, 'PYTHONPATH': str(site)}
    found = subprocess.run([sys.executable, '-c', where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == str(site / 'fsar_llava/__init__.py')
    assert list((tmp_path / 'work_dirs').rglob('best_few_shot_acc_*.pth'))
