from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from fastai_container.picture_limits import MAX_PICTURE_BYTES, MIN_PICTURE_BYTES
from fastai_training.data import verification
from fastai_training.data.labels import DataError
from fastai_training.data.sources import find_examples
from fastai_training.data.verification import leave_out_unreadable
from tests.hostile import progressive, webp
from tests.unit.training_data import write_pictures

GB = 2**30


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path, 30)
    (tmp_path / "red_1.jpg").write_bytes((tmp_path / "red_2.jpg").read_bytes()[:-200])
    (tmp_path / "red_3.jpg").write_text("no picture")
    (tmp_path / "red_4.jpg").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("processes", [1, 2])
def test_unreadable_pictures_are_left_out_with_a_reason(folder, processes):
    result = leave_out_unreadable(find_examples(folder), strict=False, processes=processes)
    assert len(result.items) == 87
    reasons = dict(result.skipped)
    assert "cut short" in reasons["red_1.jpg"]
    assert "not a picture" in reasons["red_3.jpg"]
    assert set(reasons) == {"red_1.jpg", "red_3.jpg", "red_4.jpg"}


def test_strict_fails_on_the_first(folder):
    with pytest.raises(DataError, match=r"strict is set: red_1\.jpg"):
        leave_out_unreadable(find_examples(folder), strict=True, processes=1)


def test_mostly_unreadable_is_no_data_set(tmp_path):
    for path in write_pictures(tmp_path, 4)[:7]:
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="7 of 12 pictures can't be read"):
        leave_out_unreadable(find_examples(tmp_path), strict=False, processes=1)


@pytest.mark.parametrize("processes", [1, 2])
def test_hostile_pictures_are_left_out_and_named(folder, processes):
    (folder / "red_5.jpg").write_bytes(progressive(9984, 400))
    (folder / "red_6.webp").write_bytes(webp(10_000))
    result = leave_out_unreadable(find_examples(folder), strict=False, processes=processes)
    reasons = dict(result.skipped)
    assert "more than 100 scans" in reasons["red_5.jpg"]
    assert "10000x10000 pixels, which take" in reasons["red_6.webp"]
    assert {"red_1.jpg", "red_3.jpg", "red_4.jpg", "red_5.jpg", "red_6.webp"} == set(reasons)


def _die(number):
    os.kill(os.getpid(), number)
    time.sleep(600)


#: What the check of red_7 does, and what is said of it.
FATES = {
    "killed": (lambda: _die(signal.SIGKILL), "SIGKILL), for memory most likely"),
    "crashed": (lambda: _die(signal.SIGSEGV), "crashes (Segmentation fault)"),
    "left": (lambda: os._exit(3), "crashes (exit code 3)"),
    "slept": (lambda: time.sleep(600), "takes longer than 2 s"),
    "filled": (lambda: bytearray(64 * GB), "MB of memory"),
}


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("processes", [1, 3])
def test_a_check_that_does_not_end_well_costs_its_picture_alone(folder, monkeypatch, fate, processes):
    act, told = FATES[fate]
    real = verification.check_picture

    def check(path: Path, *arguments, **options):
        if path.name == "red_7.jpg":
            act()
        real(path, *arguments, **options)

    monkeypatch.setattr(verification, "check_picture", check)  # the processes are forked from this one
    if fate == "slept":
        monkeypatch.setattr(verification, "CHECK_SECONDS", 2.0)
        # A machine may be too slow for two seconds; what counts is that this one is left out, and it ends.
        monkeypatch.setattr(verification, "MOST_UNREADABLE", 2.0)
    result = leave_out_unreadable(find_examples(folder), strict=False, processes=processes)
    reasons = dict(result.skipped)
    assert told in reasons["red_7.jpg"]
    if fate != "slept":
        assert set(reasons) == {"red_1.jpg", "red_3.jpg", "red_4.jpg", "red_7.jpg"}


def test_hosts_with_a_little_more_or_less_memory_take_the_same_pictures(monkeypatch):
    monkeypatch.setattr(verification, "cpu_count", lambda: 2)
    limits = []
    for total in (None, 64 * GB, 4 * GB + 1, 4 * GB - 2**20, 2 * GB + 2**20, 2 * GB - 2**20, 2**20):
        monkeypatch.setattr(verification, "total_memory_bytes", lambda total=total: total)
        limits.append(verification.picture_bytes())
    assert limits[:3] == [MAX_PICTURE_BYTES] * 3
    assert limits[3] == limits[4] == GB // 4
    assert limits[5] == GB // 8
    assert limits[6] == MIN_PICTURE_BYTES


def test_no_process_is_left_behind(folder):
    before = set(_children())
    leave_out_unreadable(find_examples(folder), strict=False, processes=3)
    assert set(_children()) <= before


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
