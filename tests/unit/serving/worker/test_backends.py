"""The program for GPUs, run on the CPU; needs torch, which the serving image for CPUs has not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import PROGRAM, TORCH_PROGRAM, ModelManifest
from fastai_container.resources import cpu_count
from fastai_serving.worker import backends
from fastai_serving.worker.backends import CpuRuntime, TorchRuntime

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")
SIZE, CLASSES = 32, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder's two programs of one small network."""
    from fastai_training.exporting.export import write_program, write_torch_program

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, CLASSES),
    ).eval()
    details = ModelManifest("small", ["a", "b", "c"], SIZE, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    root = tmp_path_factory.mktemp("model")
    with torch.no_grad():
        write_program(network, details, root / PROGRAM)
        write_torch_program(network, details, root / TORCH_PROGRAM)
    return root


@pytest.mark.parametrize("count", [1, 2, 7])
def test_both_programs_give_the_same(folder: Path, count: int):
    pictures = np.random.default_rng(count).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    on_torch = TorchRuntime(folder, "cpu").predict(pictures)
    assert on_torch.shape == (count, CLASSES)
    assert on_torch.dtype == np.float32
    np.testing.assert_allclose(on_torch.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(on_torch, CpuRuntime(folder, 1).predict(pictures), atol=2e-3)
    half = TorchRuntime(folder, "cpu", half=True).predict(pictures)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, on_torch, atol=3e-2)
    assert (half != on_torch).any(), "half precision was not used"


#: A runtime is made, and used after a fork, which leaves one thread: answers, threads, and CPU time while idle.
FORKED = """
import os, sys, time
import numpy as np
from pathlib import Path
from fastai_serving.worker.backends import CpuRuntime

def threads():
    return len(os.listdir("/proc/self/task"))

pictures = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
runtime = CpuRuntime(Path(sys.argv[1]), 1, cores=2)
expected = runtime.predict(pictures)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
assert threads() == 1
for busy, most in ((2, 1), (1, 2), (2, 2), (1, 2), (2, 2)):
    runtime.share(busy)
    for _ in range(50):
        np.testing.assert_allclose(runtime.predict(pictures), expected, atol=1e-6)
    assert threads() == most, (busy, threads())
    time.sleep(0.2)
    begin = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begin < 0.1, "a thread spins while there is nothing to do"
print("done", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(cpu_count() < 2, reason="there is one core, so OpenVINO gives every program one thread")
def test_a_lone_request_has_every_core_after_a_fork_too(folder: Path):
    done = subprocess.run([sys.executable, "-c", FORKED, folder], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_without_onetbbs_limit_a_worker_keeps_its_one_thread(folder: Path, monkeypatch, caplog):
    def missing():
        raise OSError("libtbb.so.12 is missing")

    monkeypatch.setattr(backends, "SingleThread", missing)
    alone = CpuRuntime(folder, 1, cores=4)
    alone.share(1)
    assert alone.predict(np.zeros((1, SIZE, SIZE, 3), dtype=np.uint8)).shape == (1, CLASSES)
    assert "one core of 4: libtbb.so.12 is missing" in caplog.text


def test_a_folder_without_the_program_says_what_to_do(tmp_path: Path):
    with pytest.raises(ModelFolderError, match=r"torch/model\.pt2.*serve it on CPUs"):
        TorchRuntime(tmp_path, "cpu")
