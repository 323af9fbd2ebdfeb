"""The progress bar on a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fsar_llava.engine.hooks import ProgressBarHook

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


def test_a_resumed_training_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('FORCE_COLOR', '1')
    hook, runner = ProgressBarHook(), SimpleNamespace(max_iters=5, iter=3, logger=SimpleNamespace(handlers=[]))
    hook.before_train(runner)
    hook.after_train_iter(runner, 3)
    hook.after_train(runner)
    assert '4/5' in capsys.readouterr().out
