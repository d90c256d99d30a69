from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.job import reason
from fastai_training.job.child_process import Outcome
from fastai_training.job.host_failures import PeerFailure
from fastai_training.job.hosts import Cluster
from fastai_training.job.log_tail import Tail
from fastai_training.job.oom_kills import OomCount
from fastai_training.job.reason import RunningJob
from fastai_training.job.secret_masking import Mask

TRACEBACK = """Traceback (most recent call last):
  File "{code}/train.py", line 3, in <module>
    raise ValueError("no label, token=abcdefgh12")
ValueError: no label, token=abcdefgh12
"""
FAILED = Outcome(1, None, killed=False, aborted=False)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningJob:
    monkeypatch.setattr(reason.OomCount, "read", lambda: OomCount(0, 0))
    return RunningJob(MLPaths(tmp_path), "train.py", Cluster(), Tail(), OomCount(0, 0), Mask({}))


def test_an_exception_comes_first_then_its_place_and_the_last_output(job: RunningJob):
    job.tail.feed("stdout", b"epoch 1\n")
    job.tail.feed("stderr", TRACEBACK.format(code=job.paths.code).encode())
    lines = job.reason(FAILED, 1, None, []).splitlines()
    assert lines[0] == "ValueError: no label, token=******"
    assert lines[1].startswith("in train.py, line 3: raise ValueError")
    assert lines[2:] == ["train.py: exit code 1", "Last output:", "epoch 1"]


def test_without_a_word_there_is_still_the_exit_code(job: RunningJob):
    assert job.reason(FAILED, 3, None, []).splitlines()[0] == "train.py ended with exit code 3"


def test_what_is_stopped_too_late_is_killed_and_told(job: RunningJob):
    killed = Outcome(-signal.SIGKILL, signal.SIGTERM, killed=True, aborted=False)
    assert job.reason(killed, 137, None, []).startswith("training did not end in time after it was asked to stop")


def test_an_oom_kill_is_out_of_memory(job: RunningJob):
    job.memory = OomCount(-1, 0)
    killed = Outcome(-signal.SIGKILL, None, killed=False, aborted=False)
    assert job.reason(killed, 137, None, []).startswith("out of memory: the kernel killed training")


def test_another_hosts_failure_is_the_reason_of_a_lost_connection(job: RunningJob):
    job.tail.feed("stderr", b"Traceback (most recent call last):\nRuntimeError: Connection closed by peer\n")
    lines = job.reason(FAILED, 1, PeerFailure("algo-2", "no label"), []).splitlines()
    assert lines[0] == "host algo-2 failed: no label"
    assert lines[1].startswith("here: RuntimeError: Connection closed by peer")
