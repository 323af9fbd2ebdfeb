import os
from pathlib import Path

import pytest
import torch

from fsar_llava.models.layers import free_memory


def test_host_memory_lies_between_nothing_and_all():
    total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    assert 1 << 20 < free_memory('cpu') < total


MEMINFO = 'MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable:   300 kB\nHugePages_Total:       0\n'


def pretend(monkeypatch, files: dict[str, str]) -> None:
    def read_text(path: Path) -> str:
        if path.name not in files:
            raise FileNotFoundError(path)
        return files[path.name]

    monkeypatch.setattr(Path, 'read_text', read_text)


def test_reads_what_linux_calls_available(monkeypatch):
    pretend(monkeypatch, {'meminfo': MEMINFO})
    assert free_memory('cpu') == 300 * 1024


@pytest.mark.parametrize(('limit', 'free'), [('max', 307200), ('9000000', 307200), ('50000', 12500), ('10000', 0)])
def test_a_container_may_leave_less(monkeypatch, limit, free):
    stat = 'anon 5000\ninactive_file 2500\n'
    pretend(
        monkeypatch,
        {'meminfo': MEMINFO, 'memory.max': f'{limit}\n', 'memory.current': '40000\n', 'memory.stat': stat},
    )
    assert free_memory('cpu') == free


@pytest.mark.parametrize('works', [True, False])
def test_falls_back_where_proc_is_missing(monkeypatch, works):
    def sysconf(name):
        if not works:
            raise ValueError(name)
        return {'SC_AVPHYS_PAGES': 10, 'SC_PAGE_SIZE': 4096}[name]

    pretend(monkeypatch, {})
    monkeypatch.setattr(os, 'sysconf', sysconf)
    assert free_memory('cpu') == (40960 if works else 1 << 30)


def test_cuda_counts_what_the_allocator_holds_unused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda device: 700)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: 200)
    assert free_memory('cuda:0') == 1500


def test_other_devices_get_a_fixed_guess():
    assert free_memory('meta') == 1 << 30
