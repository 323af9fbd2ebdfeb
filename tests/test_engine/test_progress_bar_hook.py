"""The progress bar on a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAILING_RUN = """
from types import SimpleNamespace
from fsar_llava.engine.hooks import ProgressBarHook

ProgressBarHook().before_train(SimpleNamespace(max_iters=5, iter=0, logger=SimpleNamespace(handlers=[])))
raise RuntimeError('training failed')
"""
HIDE, SHOW = b'\x1b[?25l', b'\x1b[?25h'


@pytest.mark.skipif(os.name != 'posix', reason='needs a pseudo-terminal')
def test_the_cursor_comes_back_when_a_run_fails() -> None:
    ours, theirs = os.openpty()
    environment = dict(os.environ, TERM='xterm')
    done = subprocess.run(
        [sys.executable, '-c', FAILING_RUN],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    os.close(theirs)
    printed = os.read(ours, 1 << 16)
    os.close(ours)
    assert done.returncode == 1
    assert b'training failed' in printed + done.stderr
    assert printed.count(HIDE) == printed.count(SHOW) == 1
