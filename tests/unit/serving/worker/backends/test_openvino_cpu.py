from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastai_container.resources import cpu_count
from fastai_serving.worker.backends import openvino_cpu
from fastai_serving.worker.backends.openvino_cpu import OpenVinoBackend
from tests.unit.serving.worker.backends.conftest import CLASSES, SIZE

#: A backend is made, and used after a fork, which leaves one thread: what it says, threads, and CPU time while idle.
FORKED = """
import os, sys, time
import numpy as np
from pathlib import Path
from fastai_serving.worker.backends import OpenVinoBackend

def threads():
    return len(os.listdir("/proc/self/task"))

pictures = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
backend = OpenVinoBackend(Path(sys.argv[1]), 1, cores=2)
expected = backend.predict(pictures)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
assert threads() == 1
for busy, most in ((2, 1), (1, 2), (2, 2), (1, 2), (2, 2)):
    backend.set_busy_workers(busy)
    for _ in range(50):
        np.testing.assert_allclose(backend.predict(pictures), expected, atol=1e-6)
    assert threads() == most, (busy, threads())
    time.sleep(0.2)
    begin = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begin < 0.1, "a thread spins while there is nothing to do"
print("done", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(cpu_count() < 2, reason="there is one core, so OpenVINO gives every compiled model one thread")
def test_a_lone_request_has_every_core_after_a_fork_too(folder: Path):
    done = subprocess.run([sys.executable, "-c", FORKED, folder], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_without_onetbbs_limit_a_worker_keeps_its_one_thread(folder: Path, monkeypatch, caplog):
    def missing():
        raise OSError("libtbb.so.12 is missing")

    monkeypatch.setattr(openvino_cpu, "SingleThreadLimit", missing)
    alone = OpenVinoBackend(folder, 1, cores=4)
    alone.set_busy_workers(1)
    assert alone.predict(np.zeros((1, SIZE, SIZE, 3), dtype=np.uint8)).shape == (1, CLASSES)
    assert "one core of 4: libtbb.so.12 is missing" in caplog.text
