"""Runners that start at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope='session')
def plain_configs() -> Iterator[None]:
    """mmengine formats a config prettily three times for every runner, which takes longer than these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **kwargs: (text, True))
        yield
