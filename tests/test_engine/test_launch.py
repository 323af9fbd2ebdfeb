import os
import platform
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config

from fsar_llava.engine.launch import build_runner, set_local_rank, use_gloo_without_gpu, work_dir_of


def test_one_process_needs_nothing():
    cfg = Config()
    use_gloo_without_gpu(cfg, 'none')
    assert 'model_wrapper_cfg' not in cfg


@pytest.mark.skipif(torch.cuda.is_available(), reason='describes a machine without a GPU')
def test_slurm_without_a_gpu_is_refused():
    with pytest.raises(RuntimeError, match='--launcher pytorch'):
        use_gloo_without_gpu(Config(), 'slurm')


@pytest.mark.parametrize(
    ('command_line', 'cfg', 'expected'),
    [('a', dict(work_dir='b'), 'a'), (None, dict(work_dir='b'), 'b'), (None, {}, 'work_dirs/x')],
)
def test_work_dir(command_line, cfg, expected):
    assert work_dir_of('configs/x.py', command_line, Config(cfg)) == expected


FAULTS = """
import resource
import sys
import torch
if 'keep' in sys.argv:
    from fsar_llava.engine.launch import keep_freed_memory
    keep_freed_memory()
for repeat in range(14):
    if repeat == 4:  # the first times memory must come from the system
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(1 << 21) for _ in range(4)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be told')
@pytest.mark.parametrize('argument', ['keep', 'default'])
def test_freed_memory_is_used_again(argument):
    command = [sys.executable, '-c', FAULTS, argument]
    # Left alone, glibc may or may not give these blocks back, depending on what lies above them; so it is told to.
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_='131072')
    faults = int(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.split()[-1])
    assert (faults < 100) == (argument == 'keep')  # else one a page, or a huge page, of 32 MB ten times


@pytest.mark.parametrize('world_size', [1, 2])
def test_leaving(world_size: int) -> None:
    """With the status, exit functions run and text written; several processes take nothing apart."""
    script = (
        'import atexit; from fsar_llava.engine.launch import leave\n'
        'class Thing:\n    def __del__(self): print("taken apart", end=" ")\n'
        'thing = Thing(); thing.itself = thing; atexit.register(print, "exit function", end=" "); leave(3)'
    )
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script],
        env={**os.environ, 'WORLD_SIZE': str(world_size)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout.strip() == ('exit function taken apart' if world_size == 1 else 'exit function')
    assert process.returncode == 3


def test_local_rank(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_RANK', '3')
    set_local_rank(0)
    assert os.environ['LOCAL_RANK'] == '3'
    set_local_rank(1)
    assert os.environ['LOCAL_RANK'] == '3'
    monkeypatch.delenv('OMPI_COMM_WORLD_LOCAL_RANK')
    monkeypatch.delenv('LOCAL_RANK')
    set_local_rank(1)
    assert os.environ['LOCAL_RANK'] == '1'


@pytest.mark.skipif(torch.cuda.is_available(), reason='describes a machine without a GPU')
@pytest.mark.parametrize('seconds', [None, 90])
def test_processes_wait_as_long_as_the_config_says(monkeypatch, seconds):
    asked = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *args, timeout: asked.append(timeout))
    cfg = Config() if seconds is None else Config(dict(env_cfg=dict(dist_cfg=dict(timeout=seconds))))
    use_gloo_without_gpu(cfg, 'pytorch')
    assert asked == [seconds and timedelta(seconds=seconds)]


@pytest.mark.parametrize(
    ('randomness', 'set_before', 'expected'),
    [
        (dict(deterministic=True), None, ':4096:8'),
        (dict(deterministic=True), ':16:8', ':16:8'),
        (dict(deterministic=False), None, None),
        (None, None, None),
    ],
)
def test_deterministic_runs_may_multiply_on_a_gpu(monkeypatch, randomness, set_before, expected):
    """Earlier releases of torch ask for this variable there, and refuse without it."""
    monkeypatch.setattr(RUNNERS, 'build', lambda cfg: os.environ.get('CUBLAS_WORKSPACE_CONFIG'))
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', set_before or '')  # restored behind the test, also if it was not set
    if set_before is None:
        monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG')
    assert build_runner(Config(dict(runner_type='Any', randomness=randomness))) == expected
