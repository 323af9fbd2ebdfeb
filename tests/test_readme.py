"""What the README shows works as it stands there."""

from __future__ import annotations

import re

import torch
from mmaction.registry import MODELS

from tests.conftest import REPOSITORY

README = (REPOSITORY / 'README.md').read_text(encoding='utf-8')


def test_own_metric():
    (block,) = (code for code in re.findall(r'```python\n(.*?)```', README, re.DOTALL) if 'ClosestFrame' in code)
    exec(block, {'__name__': 'readme'})
    query, support = torch.randn(2, 3, 4, 8), torch.randn(2, 5, 1, 6, 8)
    distance = MODELS.build(dict(type='ClosestFrame'))(query, support)
    cosine = torch.cosine_similarity(query[1, 2, :, None], support[1, 4, 0, None], dim=-1)
    torch.testing.assert_close(distance[1, 2, 4], 1 - cosine.max())


def test_every_path_exists():
    links = [link for link in re.findall(r'\]\(([^)]+)\)', README) if not link.startswith(('http', '#'))]
    files = re.findall(r'(?:bash|python) ((?:tools|configs|projects)/\S+)', README)
    assert len(links) > 5
    assert len(files) > 5
    for path in links + files:
        assert (REPOSITORY / path.partition('#')[0]).exists(), path
