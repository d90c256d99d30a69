from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.job.oom_kills import OomCount


def cgroup2(folder: Path, kills: int) -> Path:
    (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\noom 1\noom_kill {kills}\noom_group_kill 0\n")
    return folder


def cgroup1(folder: Path, kills: int | None, hits: int) -> Path:
    (folder / "memory").mkdir(exist_ok=True)
    control = "oom_kill_disable 0\nunder_oom 0\n" + ("" if kills is None else f"oom_kill {kills}\n")
    (folder / "memory" / "memory.oom_control").write_text(control)
    (folder / "memory" / "memory.failcnt").write_text(f"{hits}\n")
    return folder


@pytest.mark.parametrize("kills", [0, 2])
def test_version_2(tmp_path: Path, kills: int):
    before = OomCount.read(cgroup2(tmp_path, 0))
    assert OomCount.read(cgroup2(tmp_path, kills)).killed_since(before) is (kills > 0)


@pytest.mark.parametrize("kills", [1, 3])
def test_version_1(tmp_path: Path, kills: int):
    before = OomCount.read(cgroup1(tmp_path, 1, 5))
    assert OomCount.read(cgroup1(tmp_path, kills, 70)).killed_since(before) is (kills > 1)


def test_an_old_kernel_says_only_whether_the_limit_was_reached(tmp_path: Path):
    before = OomCount.read(cgroup1(tmp_path, None, 5))
    assert OomCount.read(cgroup1(tmp_path, None, 5)).killed_since(before) is False
    assert OomCount.read(cgroup1(tmp_path, None, 9)).killed_since(before) is None


def test_no_cgroup(tmp_path: Path):
    assert OomCount.read(tmp_path).killed_since(OomCount.read(tmp_path)) is None
