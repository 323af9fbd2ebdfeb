"""Starting runs: what the command line tools share."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

from mmengine.config import Config
from mmengine.runner import Runner


def use_gloo_without_gpu(cfg: Config, launcher: str) -> None:
    """Let several processes run on a machine without a GPU.

    mmengine selects a CUDA device whatever the backend is, and hands its id to DDP. Where there is none, the process
    group is made here (mmengine then skips its own) and DDP is configured without devices.

    Args:
        cfg: The config; its ``model_wrapper_cfg`` may be set. As in mmengine, ``env_cfg.dist_cfg.timeout`` are the
            seconds that processes wait for each other.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Only ``'pytorch'`` is supported without a GPU.

    Raises:
        RuntimeError: If another launcher than ``'pytorch'`` is asked for without a GPU.
    """
    import torch

    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise RuntimeError(
            f'Launcher {launcher!r} needs GPUs, but torch sees none. On a CPU use --launcher pytorch (dist_*.sh).'
        )
    timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
    torch.distributed.init_process_group('gloo', timeout=None if timeout is None else timedelta(seconds=timeout))
    cfg.setdefault(
        'model_wrapper_cfg',
        dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        ),
    )


def set_local_rank(default: int) -> None:
    """Put this process's number on its machine where mmengine looks for it, unless its launcher has; MPI has not."""
    os.environ.setdefault('LOCAL_RANK', os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(default)))


def keep_freed_memory() -> None:
    """Let the memory of freed tensors be used for the next ones, where the C library can be told so (glibc).

    By default it gives large blocks back to the system, which clears every page of the next tensor anew: up to a third
    of the time of work on a CPU. The process then keeps the most memory that it has needed; GPUs are not concerned.
    Dataloader workers that are forked later do the same.
    """
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
    mallopt(trim_threshold, 1 << 30)
    mallopt(mmap_threshold, 1 << 25)  # the most that glibc takes


def allow_open_files(cfg: Config) -> None:
    """Let the process open as many files as mmengine's runner lets a run: each tensor of a dataloader's worker is one.

    Args:
        cfg: As in mmengine, ``env_cfg.resource_limit`` is how many, 4096 without it.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, cfg.get('env_cfg', {}).get('resource_limit', 4096))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def work_dir_of(config: str, work_dir: str | None, cfg: Config) -> str:
    """Where a run writes: the command line's choice, else the config's, else ``work_dirs/<config name>``."""
    name = os.path.splitext(os.path.basename(config))[0]
    return work_dir or cfg.get('work_dir') or os.path.join('work_dirs', name)


@contextmanager
def process_group(cfg: Config, launcher: str) -> Iterator[None]:
    """Let several processes work together inside, and part in order behind.

    Without the latter, threads of gloo may still run when Python ends, which aborts the process now and then.

    Args:
        cfg: As for :func:`use_gloo_without_gpu`.
        launcher: As for :func:`use_gloo_without_gpu`.
    """
    import torch.distributed

    use_gloo_without_gpu(cfg, launcher)
    yield
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def leave(code: int = 0) -> NoReturn:
    """End the process with this status; one of several ends behind Python's exit functions.

    What would follow, taking everything apart, now and then aborts such a process with all its work done ("terminate
    called without an active exception"): a thread of a C++ library still runs, likely gloo's.
    """
    if int(os.environ.get('WORLD_SIZE', 1)) == 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, mmengine's own unless ``runner_type`` names another."""
    from mmaction.registry import RUNNERS

    if (cfg.get('randomness') or {}).get('deterministic'):
        # Earlier releases of torch refuse every matrix product on a GPU without it.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
