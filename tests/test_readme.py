"""What the README shows works as it stands there; no page leads nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS

from tests.conftest import REPOSITORY, load_tool

README = (REPOSITORY / 'README.md').read_text(encoding='utf-8')
PAGES = [REPOSITORY / 'README.md']
for folder in ('configs', 'docs', 'projects', 'tools'):
    PAGES += sorted((REPOSITORY / folder).rglob('*.md'))


def test_own_metric(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric, config = (code for code in re.findall(r'```python\n(.*?)```', README, re.DOTALL) if 'ClosestFrame' in code)
    (tmp_path / 'closest_frame.py').write_text(metric)
    (tmp_path / 'closest_frame_config.py').write_text(config)
    (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = re.search(r'python tools/test.py (closest_frame_config.py none)', README)[1].split()
    options = ['dataset.num_episodes=4', 'num_workers=0', 'persistent_workers=False']
    load_tool('tools/test.py').main([*command, '--cfg-options', *(f'test_dataloader.{option}' for option in options)])
    assert json.loads((tmp_path / 'work_dirs/closest_frame_config/few_shot_result.json').read_text())['episodes'] == 4

    query, support = torch.randn(2, 3, 4, 8), torch.randn(2, 5, 1, 6, 8)
    distance = MODELS.build(dict(type='ClosestFrame'))(query, support)
    cosine = torch.cosine_similarity(query[1, 2, :, None], support[1, 4, 0, None], dim=-1)
    torch.testing.assert_close(distance[1, 2, 4], 1 - cosine.max())


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_path_exists(page):
    text = page.read_text(encoding='utf-8')
    links = [link for link in re.findall(r'\]\(([^)]+)\)', text) if not link.startswith(('http', '#'))]
    files = re.findall(r'(?:bash|python) ((?:tools|configs|projects)/\S+)', text)
    assert links or files
    for place, path in [(page.parent, link) for link in links] + [(REPOSITORY, file) for file in files]:
        assert (place / path.partition('#')[0]).exists(), path
    for path in re.findall(r'(?<![\w./-])(?:tools|configs|projects|tests)/[\w./-]+\.(?:py|sh|md|txt)\b', text):
        assert (REPOSITORY / path).exists() or (page.parent / path).exists(), path


@pytest.mark.parametrize('page', ['README.md', 'projects/mini_video_llava/README.md'])
def test_results_are_those_of_the_published_table(page):
    table = (REPOSITORY / 'projects/mini_video_llava/results/table.md').read_text(encoding='utf-8')
    results = (REPOSITORY / page).read_text(encoding='utf-8').partition('\n## Results')[2]
    rows = [line for line in results.split('\n## ')[0].splitlines() if line.startswith('|')]
    numbers = [number for row in rows for number in re.findall(r'\d+\.\d\d \(?± \d+\.\d\d\)?', row)]
    assert len(numbers) == 23
    assert [number for number in numbers if number not in table] == []


def test_how_far_the_seeds_of_ablations_differ():
    table = json.loads((REPOSITORY / 'projects/mini_video_llava/results/table.json').read_text(encoding='utf-8'))
    rows = [row['1shot']['per_seed'] for part in ('without', 'grid') for row in table[part].values()]
    differences = [max(row) - min(row) for row in rows]
    assert (round(min(differences), 1), round(max(differences), 1)) == (0.5, 4.9)
    assert 'differ by up to five points' in README
    assert 'differ by 0.5 to 4.9 points' in (REPOSITORY / 'projects/mini_video_llava/README.md').read_text('utf-8')
