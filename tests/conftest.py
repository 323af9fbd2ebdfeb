"""What every test may use."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.registry import init_default_scope

import fsar_llava  # noqa: F401  (repairs and registers before any test imports MMAction2)

REPOSITORY = Path(__file__).parents[1]


def load_tool(path: str) -> ModuleType:
    """Import a script of the repository, such as ``tools/train.py``, which belongs to no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session', autouse=True)
def _surroundings() -> Iterator[None]:
    """The registries' scope, as a runner sets it; one thread, since small tensors are slower on many.

    A runner writes its config out eight times and takes a second each to format it: that it can be read back is enough.
    """
    init_default_scope('mmaction')
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (ast.parse(text) and text, True))
        yield


@pytest.fixture(scope='session')
def toy_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ``tools/data/make_toy_videos.py`` set: 10 train, 5 val and 5 test classes of 6 mp4 files of 12 frames."""
    tool = load_tool('tools/data/make_toy_videos.py')
    out = tmp_path_factory.mktemp('data') / 'toy_motion'
    return tool.make_toy_videos(out, num_classes=20, videos_per_class=6, frames=12)


@pytest.fixture
def data_root(toy_videos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the shipped configs look for their data in, with the tiny data set in it."""
    monkeypatch.setenv('FSAR_DATA_ROOT', str(toy_videos.parent))
    return toy_videos.parent
