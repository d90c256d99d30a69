from __future__ import annotations

from pathlib import Path

import pytest

from fastai_container import cgroup


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "10000 100000"}, 0.1),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_cpu_quota(tmp_path, files, cores):
    assert cgroup.cpu_quota(write(tmp_path, files)) == cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max"}, None),
        ({"memory.max": "1073741824"}, 2**30),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({"memory/memory.limit_in_bytes": "1073741824"}, 2**30),
    ],
)
def test_memory_limit(tmp_path, files, limit):
    assert cgroup.memory_limit_bytes(write(tmp_path, files)) == limit


@pytest.mark.parametrize(
    ("files", "kills", "hits"),
    [
        ({}, None, None),
        ({"memory.events": "low 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n"}, 2, 9),
        ({"memory/memory.oom_control": "under_oom 0\noom_kill 3\n", "memory/memory.failcnt": "70\n"}, 3, 70),
        ({"memory/memory.oom_control": "under_oom 0\n", "memory/memory.failcnt": "5\n"}, None, 5),
    ],
)
def test_kills_and_hits_of_the_memory_limit(tmp_path, files, kills, hits):
    write(tmp_path, files)
    assert (cgroup.oom_kills(tmp_path), cgroup.memory_limit_hits(tmp_path)) == (kills, hits)
