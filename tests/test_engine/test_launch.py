import os
import platform
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from fsar_llava.engine.launch import use_gloo_without_gpu, work_dir_of


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
from fsar_llava.engine.launch import keep_freed_memory
if 'keep' in sys.argv:
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


@pytest.mark.parametrize(('world_size', 'code', 'parts'), [('2', 3, True), ('2', None, True), ('1', 3, False)])
def test_leaving_behind_the_exit_functions(world_size: str, code: int | None, parts: bool) -> None:
    """Of several processes each ends with its status, exit functions run and text written; one alone goes on."""
    script = (
        'import atexit; from fsar_llava.engine.launch import leave; atexit.register(print, "exit function", end="")\n'
        f'leave({code}); print("alone", end=" ")'
    )
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script],
        env={**os.environ, 'WORLD_SIZE': world_size},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout == ('exit function' if parts else 'alone exit function'), process.stderr
    assert process.returncode == (code or 0 if parts else 0)
