from __future__ import annotations

import pytest

from fastai_container import resources


@pytest.fixture
def cgroup(monkeypatch):
    files: dict[str, str] = {}
    monkeypatch.setattr(resources, "_read", files.get)
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _pid: set(range(8)))
    return files


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"/sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "10000 100000"}, 1),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_cpu_count(cgroup, files, cores):
    cgroup.update(files)
    assert resources.cpu_count() == cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"/sys/fs/cgroup/memory.max": "max"}, None),
        ({"/sys/fs/cgroup/memory.max": "1073741824"}, 2**30),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824"}, 2**30),
    ],
)
def test_memory_limit(cgroup, files, limit):
    cgroup.update(files)
    assert resources.memory_limit_bytes() == limit
