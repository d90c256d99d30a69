"""Two processes that train one model, as torchrun starts them, each with its own /opt/ml: two hosts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from fastai_training.world import Processes  # noqa: E402
from tests.unit.training_data import ARCH, write_model, write_pictures, write_weights  # noqa: E402
from tests.waiting import PATIENCE  # noqa: E402

PARAMETERS = {"arch": ARCH, "epochs": "2", "freeze_epochs": "1", "batch_size": "4", "image_size": "32", "workers": "0"}
# Nine pictures to validate on: two batches for one process, one for the other.
PARAMETERS |= {"precision": "fp32", "serving_precision": "fp32", "valid_pct": "0.4"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def host(folder: Path, data: Path, **parameters: str) -> Path:
    shutil.copytree(data, folder / "input" / "data")
    (folder / "input" / "config").mkdir()
    text = json.dumps(PARAMETERS | parameters)
    (folder / "input" / "config" / "hyperparameters.json").write_text(text)
    return folder


def start(folder: Path, rank: int, world: int, port: int) -> subprocess.Popen:
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "MASTER_PORT": port}
    environment = {name: str(value) for name, value in names.items()}
    environment |= {"MASTER_ADDR": "127.0.0.1", "SAGEMAKER_BASE_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    # A name of its own that resolves is no matter of this test.
    environment |= {"GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "fastai_training"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    write_pictures(folder / "training", 7)
    write_weights(folder / "weights")
    return folder


@pytest.fixture(scope="module")
def hosts(data, tmp_path_factory):
    base = tmp_path_factory.mktemp("two")
    folders = [host(base / f"algo-{rank + 1}", data, folds="3") for rank in range(2)]
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(logs)
    return folders, logs


def test_the_main_process_alone_writes_and_speaks(hosts):
    folders, logs = hosts
    assert (folders[0] / "model" / "model.json").exists()
    assert (folders[0] / "output" / "data" / "summary.json").exists()
    assert len(list((folders[0] / "checkpoints").iterdir())) == 2
    for name in ("model", "output", "checkpoints"):
        assert not (folders[1] / name).exists()
    assert "epoch=3 " in logs[0]
    assert "2 processes agree on the weights" in logs[0]
    assert "epoch=" not in logs[1]


def test_the_metrics_are_of_all_validation_pictures(hosts):
    folders, _ = hosts
    summary = json.loads((folders[0] / "output" / "data" / "summary.json").read_text())
    history = (folders[0] / "output" / "data" / "history.csv").read_text().splitlines()
    assert summary["processes"] == 2
    last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    for name in ("error_rate", "balanced_accuracy", "f1_macro"):
        assert float(last[name]) == pytest.approx(summary["metrics"][name], abs=1e-5)
    assert len((folders[0] / "output" / "data" / "validation.csv").read_text().splitlines()) == 10


def test_they_share_the_folds(hosts):
    folders, logs = hosts
    errors = json.loads((folders[0] / "output" / "data" / "summary.json").read_text())["folds"]["error_rates"]
    # Of 21 pictures each fold has seven, whichever process trained its head.
    assert len(errors) == 3
    assert all(round(error * 7, 3) in range(8) for error in errors)
    assert logs[0].count("folds=3 error_rate mean=") == 1
    assert "folds=" not in logs[1]


def test_stopped_together_they_go_on_together(hosts, data, tmp_path):
    folders = [host(tmp_path / f"algo-{rank + 1}", data) for rank in range(2)]
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    for line in processes[0].stdout:
        if line.startswith("epoch=1 "):
            break
    processes[1].send_signal(signal.SIGTERM)  # one is told, both stop
    rest = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], rest
    assert "goes on from it" in rest[0]
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert "going on from checkpoint-" in logs[0]
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (hosts[0][0], folders[0]))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_they_stop_early_together_and_keep_the_same_epoch(data, tmp_path):
    # Of nine validation pictures the errors can fall nine times at most.
    options = {"epochs": "12", "early_stopping": "1", "keep": "best", "sampling": "balanced", "mixup": "0.4"}
    folders = [host(tmp_path / f"algo-{rank + 1}", data, **options) for rank in range(2)]
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert "stopping early" in logs[0]
    assert "2 processes agree on the weights" in logs[0]
    history = (folders[0] / "output" / "data" / "history.csv").read_text().splitlines()
    kept = history[int(re.search(r"keeping epoch=(\d+) ", logs[0]).group(1))]
    row = dict(zip(history[0].split(","), kept.split(","), strict=True))
    summary = json.loads((folders[0] / "output" / "data" / "summary.json").read_text())
    metrics = summary["metrics"]
    assert str(summary["exported_epoch"]) == row["epoch"]
    for name in ("error_rate", "f1_macro", "valid_loss"):
        assert float(row[name]) == pytest.approx(metrics[name], abs=1e-5)


def test_when_one_dies_the_other_ends_with_a_reason(data, tmp_path):
    folders = [host(tmp_path / f"algo-{rank + 1}", data, epochs="500") for rank in range(2)]
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    for line in processes[0].stdout:
        if line.startswith("epoch=1 "):
            break
    processes[1].kill()
    log = processes[0].communicate(timeout=PATIENCE)[0]
    processes[1].communicate()
    assert processes[0].returncode == 1, log
    failure = (folders[0] / "output" / "failure").read_text()
    assert "another process or host of this job ended" in failure


def test_hosts_with_different_pictures_are_told(data, tmp_path):
    folders = [host(tmp_path / f"algo-{rank + 1}", data) for rank in range(2)]
    (folders[1] / "input" / "data" / "training" / "red_1.jpg").unlink()
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], logs
    for folder in folders:
        assert "FullyReplicated" in (folder / "output" / "failure").read_text()


def models(folders: list[Path], *vocabs: list[str]) -> None:
    """Give each host a model to go on from, its class names ``vocabs``."""
    for folder, vocab in zip(folders, vocabs, strict=True):
        shutil.rmtree(folder / "input" / "data" / "weights")
        write_model(folder / "input" / "data" / "model", vocab)
    manifest = (folders[0] / "input" / "data" / "model" / "model.json").read_text()
    if vocabs[0] == vocabs[1]:  # the time that it was made is in it
        (folders[1] / "input" / "data" / "model" / "model.json").write_text(manifest)


def test_hosts_go_on_from_the_same_model_together(data, tmp_path):
    folders = [host(tmp_path / f"algo-{rank + 1}", data, epochs="0") for rank in range(2)]
    models(folders, ["red", "blue"], ["red", "blue"])
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert "2 processes agree on the weights" in logs[0]
    assert " pictures of 2 classes it knows; now error_rate=" in logs[0]
    assert "parent" not in logs[1]


def test_hosts_with_different_models_are_told(data, tmp_path):
    folders = [host(tmp_path / f"algo-{rank + 1}", data) for rank in range(2)]
    models(folders, ["red", "blue"], ["blue", "red"])
    port = free_port()
    processes = [start(folder, rank, 2, port) for rank, folder in enumerate(folders)]
    logs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], logs
    for folder in folders:
        assert "different models in the channel model" in (folder / "output" / "failure").read_text()


def test_torchruns_variables_are_read():
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert Processes.from_environment(environment) == Processes(5, 8, 1, 4)
    assert Processes.from_environment({}) == Processes(0, 1, 0, 1)
    assert Processes(0, 2).is_main
    assert not Processes(1, 2).is_main
    assert not Processes().several
