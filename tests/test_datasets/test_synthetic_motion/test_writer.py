from __future__ import annotations

import json

import numpy as np
import pytest

from fsar_llava.datasets.synthetic_motion import CLASSES, render
from fsar_llava.datasets.synthetic_motion.writer import class_scenes, contact_sheet, video_name, write_benchmark


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp('sm') / 'bench', videos_per_class=2, frames=12, workers=2)


def test_lists_name_every_video_once(folder):
    lines = [line.split('\t') for split in ('train', 'val', 'test') for line in (folder / f'{split}.txt').open()]
    names = [name for name, _ in lines]
    assert len(set(names)) == len(names) == 2 * len(CLASSES)
    assert all((folder / 'videos' / name).is_file() for name in names)
    assert all(name.split('/')[0] == CLASSES[int(label)] for name, label in lines)
    assert (folder / 'classes.txt').read_text().splitlines() == list(CLASSES)
    assert len((folder / 'train.txt').read_text().splitlines()) == 2 * 38


@pytest.mark.parametrize('label', [0, 38, 65])
def test_files_decode_to_what_was_drawn(folder, label):
    decord = pytest.importorskip('decord')
    frames = decord.VideoReader(str(folder / 'videos' / video_name(label, 1)))[:].asnumpy()
    drawn = render(class_scenes(label, 2, frames=12))[1]
    assert frames.shape == drawn.shape == (12, 64, 64, 3)
    error = np.mean((frames.astype(float) - drawn) ** 2)
    assert 10 * np.log10(255**2 / error) > 25


def test_the_files_do_not_depend_on_the_workers(folder, tmp_path):
    again = write_benchmark(tmp_path / 'again', videos_per_class=2, frames=12, workers=1)
    for label in (0, 20, 65):
        name = video_name(label, 0)
        assert (folder / 'videos' / name).read_bytes() == (again / 'videos' / name).read_bytes()


def test_a_second_run_reuses_the_files_and_other_arguments_do_not(folder, capsys):
    file = folder / 'videos' / video_name(5, 0)
    before = file.stat().st_mtime_ns
    write_benchmark(folder, videos_per_class=2, frames=12, workers=1)
    assert 'already holds' in capsys.readouterr().out
    assert file.stat().st_mtime_ns == before
    assert json.loads((folder / 'manifest.json').read_text())['videos_per_class'] == 2


@pytest.mark.parametrize('wrong', [{'videos_per_class': 1}, {'frames': 4}, {'side': 8}, {'seed': -1}])
def test_bad_arguments(wrong, tmp_path):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f'{name} must be .* but is {value}'):
        write_benchmark(tmp_path, **wrong)


def test_contact_sheet_has_a_row_for_every_class():
    sheet = contact_sheet([0, 1, 2])
    assert sheet.ndim == 3
    assert sheet.shape[0] == 2 * contact_sheet([0, 1]).shape[0]
