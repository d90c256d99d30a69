from __future__ import annotations

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
from fastai_local.errors import LocalError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my, pictures: 2"
    folder.mkdir()
    return folder


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


def test_a_killed_process_has_a_shells_code() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], start_new_session=True)
    assert subject.wait_for_job(process, process.terminate) == 137


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
            subject.wait_for_job(process, process.terminate)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.returncode == 0
