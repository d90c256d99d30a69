from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastai_local import job as subject
from fastai_local.engine import Engine
from fastai_local.errors import LocalError, UsageError
from fastai_local.settings import Settings

ENGINE = Engine("docker", "28.0", "28.0", "amd64", "buildx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my, pictures: 2"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "DATA is missing"),
        (lambda p: p / "gone", "no such folder"),
        (lambda p: p / "file", "not a folder"),
    ],
)
def test_wrong_data_is_an_error_that_names_it(tmp_path: Path, make, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"DATA.*{message}|{message}"):
        subject.train_command(Settings(data=make(tmp_path)))


def test_a_wrong_channel_is_named_by_its_variable(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="VALIDATION="):
        subject.channels_of(Settings(data=data, validation=tmp_path / "gone"))
    channels = subject.channels_of(Settings(data=data, weights=tmp_path))
    assert channels == {"training": data, "weights": tmp_path}


def test_the_tree_is_sagemakers(tmp_path: Path, data: Path) -> None:
    subject.write_tree(tmp_path / "out", {"training": data}, {"epochs": "2"})
    config = tmp_path / "out" / "input" / "config"
    assert json.loads((config / "hyperparameters.json").read_text()) == {"epochs": "2"}
    assert list(json.loads((config / "inputdataconfig.json").read_text())) == ["training"]
    resources = json.loads((config / "resourceconfig.json").read_text())
    assert resources == {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}


def test_a_former_jobs_model_stays_and_its_failure_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    (out / "output").mkdir()
    (out / "model" / "model.json").write_text("{}")
    (out / "output" / "failure").write_text("old")
    subject.write_tree(out, {}, {})
    assert (out / "model" / "model.json").exists()
    assert not (out / "output" / "failure").exists()


def test_out_that_is_a_file_or_read_only_is_an_error(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"OUT=.*is a file"):
        subject.train(Settings(data=data), None, tmp_path / "file")


def mounts(command: list[str]) -> dict[str, list[str]]:
    """The fields of each mount by its target, read as Docker reads them."""
    found = {}
    for option, value in itertools.pairwise(command):
        if option == "--mount":
            fields = next(csv.reader([value]))
            found[next(field for field in fields if field.startswith("target="))[7:]] = fields
    return found


def test_the_command_of_a_job(monkeypatch, tmp_path: Path, data: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 100)
    command = subject.docker_command(
        Settings(network="none"), ENGINE, tmp_path, {"training": data}, "job-1", "image:cpu"
    )
    assert command[:4] == ["docker", "run", "--rm", "--name"]
    assert command[-2:] == ["image:cpu", "train"]
    assert command[command.index("--user") + 1] == "1000:100"
    assert command[command.index("--shm-size") + 1] == "2g"
    assert command[command.index("--network") + 1] == "none"
    assert "--gpus" not in command
    found = mounts(command)
    assert set(found) == {
        "/opt/ml/input/config",
        "/opt/ml/input/data/training",
        "/opt/ml/model",
        "/opt/ml/output",
        "/opt/ml/checkpoints",
    }
    assert f"source={data}" in found["/opt/ml/input/data/training"]
    assert "readonly" in found["/opt/ml/input/data/training"]
    assert "readonly" not in found["/opt/ml/model"]


def test_a_gpu_job_gets_the_gpus(tmp_path: Path) -> None:
    command = subject.docker_command(Settings(device="gpu"), ENGINE, tmp_path, {}, "job-1", "image:gpu")
    assert command[command.index("--gpus") + 1] == "all"


def test_native_channels_are_links_and_a_former_jobs_go(tmp_path: Path, data: Path) -> None:
    subject.link_channels(tmp_path, {"training": tmp_path, "validation": data})
    subject.link_channels(tmp_path, {"training": data})
    folder = tmp_path / "input" / "data"
    assert [path.name for path in folder.iterdir()] == ["training"]
    assert (folder / "training").resolve() == data


def test_a_users_own_folder_in_the_tree_is_never_removed(tmp_path: Path, data: Path) -> None:
    own = tmp_path / "input" / "data" / "training"
    own.mkdir(parents=True)
    (own / "a.jpg").touch()
    with pytest.raises(LocalError, match="in the way"):
        subject.link_channels(tmp_path, {"training": data})
    subject.link_channels(tmp_path, {"training": own})
    assert (own / "a.jpg").exists()


def test_the_error_is_the_jobs_own_sentence_and_code(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("two classes are needed, found 1\n")
    error = subject.report_failure(tmp_path, 3)
    assert str(error) == "training failed: two classes are needed, found 1"
    assert error.exit_code == 3


def test_a_job_that_left_no_reason(tmp_path: Path) -> None:
    assert "no reason" in str(subject.report_failure(tmp_path, 1))
    assert "memory" in str(subject.report_failure(tmp_path, 137))


def test_a_killed_process_has_a_shells_code() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], start_new_session=True)
    assert subject._wait(process, process.terminate) == 137


def test_an_interrupt_stops_the_job_before_it_ends_us() -> None:
    # Where the tests are started in the background, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
        "print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # its handler is in place

    def interrupt() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with process, pytest.raises(KeyboardInterrupt):
            subject._wait(process, process.terminate)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 0
