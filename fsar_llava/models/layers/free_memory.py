"""How much memory a device has left."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_UNKNOWN = 1 << 30


def free_memory(device: torch.device | str) -> int:
    """Bytes that can still be allocated on a device.

    CUDA: what the driver reports free plus what PyTorch's allocator holds unused. CPU: ``MemAvailable`` of
    ``/proc/meminfo``, else the free pages that ``os.sysconf`` reports; less where a container's limit (cgroup v2)
    leaves less. Where nothing can be read, as on other devices and operating systems, 1 GiB.
    """
    device = torch.device(device)
    if device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == 'cpu':
        return min(_free_host_memory(), _free_container_memory())
    return _UNKNOWN


def _free_host_memory() -> int:
    try:
        return 1024 * _fields('/proc/meminfo')['MemAvailable:']
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _free_container_memory() -> float:
    """What the limit leaves, counting file caches as free, since they give way; infinite without a limit."""
    folder = '/sys/fs/cgroup'
    try:
        limit, used = (int(Path(folder, name).read_text()) for name in ('memory.max', 'memory.current'))
        return max(0, limit - used + _fields(f'{folder}/memory.stat')['inactive_file'])
    except (OSError, KeyError, ValueError):  # no cgroup v2, or the limit is 'max'
        return float('inf')


def _fields(path: str) -> dict[str, int]:
    """The lines ``name number ...`` of a file of the kernel."""
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines}
