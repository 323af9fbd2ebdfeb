"""Imports run one way, and one public class lives in a file named after it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / 'fsar_llava'
# What each part of the package may import, besides itself.
ALLOWED = {
    'structures': set(),
    'visualization': {'structures'},
    'models': {'structures', 'visualization', 'checks'},
    'features': {'structures', 'visualization', 'models', 'version'},
    'datasets': {'structures', 'visualization', 'models', 'features', 'checks', 'version'},
    'evaluation': {'structures', 'visualization', 'features', 'datasets', 'version'},
    'engine': {'structures', 'visualization', 'models', 'features', 'datasets', 'evaluation', 'checks', 'version'},
}
FILES = sorted(path for part in ALLOWED for path in (PACKAGE / part).rglob('*.py'))


def imported_parts(path: Path) -> set[str]:
    """The parts of the package that a file imports, type hints included."""
    parts = set()
    package = path.relative_to(REPOSITORY).with_suffix('').parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level + 1]) + '.' if node.level else ''
            module = f'{base}{node.module or ""}'.rstrip('.')
            names = [f'{module}.{alias.name}' for alias in node.names]
        else:
            continue
        parts |= {name.split('.')[1] for name in names if name.startswith('fsar_llava.')}
    return parts


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    part = path.relative_to(PACKAGE).parts[0]
    assert imported_parts(path) - {part} <= ALLOWED[part]


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_registered_classes_live_in_files_of_their_name(path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any('register_module' in ast.unparse(d) for d in node.decorator_list):
            squeezed = re.sub('[^a-z0-9]', '', node.name.lower())
            assert squeezed == path.stem.replace('_', ''), f'{node.name} in {path.name}'
