from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_training.diagnosis import failure_reason as failure

CODE = Path("/opt/ml/code")


@given(st.lists(st.text(max_size=700), max_size=4), st.lists(st.text(max_size=300), max_size=40))
def test_a_reason_fits_what_is_shown(headline: list[str], lines: list[str]):
    assert len(failure.compose(headline, lines)) <= 1024


def test_the_last_lines_are_kept():
    text = failure.compose(["ValueError: x"], [f"line {number}" for number in range(500)])
    assert text.startswith("ValueError: x\nLast output:\n")
    assert text.endswith("line 498\nline 499")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("OSError: [Errno 28] No space left on device: '/opt/ml/model/x'", "the disk is full"),
        ("RuntimeError: unable to write to file </torch_13_1>: No space left on device (28) /dev/shm", "shared memory"),
        (
            "RuntimeError: DataLoader worker is killed by signal: Bus error. insufficient shared memory (shm)",
            "shared memory",
        ),
        (
            "RuntimeError: unable to allocate shared memory(shm) for </torch_1>: No space left on device (28)",
            "shared memory",
        ),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate", "out of GPU memory"),
        ("MemoryError", "out of memory"),
        ("ValueError: bad label", ""),
    ],
)
def test_resources_are_told_apart(text: str, start: str):
    reason = failure.resource_reason(text, [Path("/")])
    assert reason.startswith(start)
    assert bool(reason) == bool(start)


def test_signals_are_told_apart():
    assert failure.signal_reason(signal.SIGKILL, True).startswith("out of memory")
    assert "from outside" in failure.signal_reason(signal.SIGKILL, False)
    assert "most likely" in failure.signal_reason(signal.SIGKILL, None)
    assert "/dev/shm" in failure.signal_reason(signal.SIGBUS, False)
    assert "SIGSEGV" in failure.signal_reason(signal.SIGSEGV, False)
    assert "SIGABRT" in failure.signal_reason(signal.SIGABRT, False)


@pytest.mark.parametrize(
    "text",
    [
        "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 3944896 vs 3944792",
        "RuntimeError: basic_ios::clear: iostream error",
        "OSError: 1000000 requested and 131056 written",
        "OSError: encoder error -2 when writing image file",
    ],
)
def test_a_write_that_was_cut_is_a_full_disk_where_one_is_full(text: str):
    assert failure.resource_reason(text, [Path("/proc")]).startswith("the disk is full: /proc (")
    assert failure.resource_reason(text, []).startswith("a file could not be written to its end")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_errors_reason_has_what_it_means_and_what_was_said(number: int):
    error = OSError(number, os.strerror(number), "/proc/model.bin")
    said = failure.error_reason(error, [])
    assert said.startswith("the disk is full: /proc (0.0 MiB) has no room left")
    assert said.endswith(f"(OSError: [Errno {number}] {os.strerror(number)}: '/proc/model.bin')")


def test_other_errors_are_told_as_they_are():
    assert failure.error_reason(ValueError("bad label\nmore"), []) == "ValueError: bad label"
    worker = RuntimeError("Caught in worker 0.\nTraceback (most recent call last):\n  File x\nKeyError: 'label'")
    assert failure.error_reason(worker, []) == "RuntimeError: KeyError: 'label'"
    of_callback = RuntimeError(
        "Exception occured in `Ours` when calling event `before_fit`:\n\tConnection reset by peer"
    )
    assert failure.error_reason(of_callback, []) == "RuntimeError: Connection reset by peer"
    assert failure.error_reason(FloatingPointError("the loss is not a number"), []) == "the loss is not a number"
    assert failure.error_reason(MemoryError(), []).startswith("out of memory: lower batch_size")
    lost = RuntimeError("Connection closed by peer")
    assert failure.error_reason(lost, []) == "RuntimeError: Connection closed by peer"
    assert failure.error_reason(lost, [], several=True).startswith("another process or host of this job ended")


def test_a_programs_own_reason_is_explained_once():
    own = "OSError: [Errno 28] No space left on device"
    explained = failure.with_cause(own, [Path("/proc")], CODE)
    assert explained.splitlines()[0].startswith("the disk is full: /proc")
    assert explained.splitlines()[1] == own
    assert failure.with_cause(explained, [Path("/proc")], CODE) == explained
    assert failure.with_cause("the labels are wrong", [Path("/proc")], CODE) == "the labels are wrong"
    told = "the disk is full: /opt/ml/model needs about 145 MiB, 50 MiB are free; take a larger volume"
    for folder in ("/proc", "/"):  # one without room, and one that has some again
        assert failure.with_cause(told, [Path(folder)], CODE) == told
