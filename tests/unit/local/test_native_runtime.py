from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fastai_local import native_runtime as subject
from fastai_local.settings import Settings

# Stands for `python -m fastai_sagemaker train`: writes what it was started with.
PACKAGE = """
import json, os, sys
base = os.environ["SAGEMAKER_BASE_DIR"]
with open(os.path.join(base, "seen.json"), "w") as file:
    json.dump([sys.argv[1:], os.getcwd(), sorted(os.listdir(os.path.join(base, "input", "data")))], file)
sys.exit(6)
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> subject.NativeRuntime:
    package = tmp_path / "packages" / "fastai_sagemaker"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PACKAGE)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(subject, "ensure_environment", lambda _: Path(sys.executable))
    return subject.NativeRuntime(Settings(root=tmp_path))


def test_a_job_runs_in_its_folder_which_stands_for_opt_ml(runtime: subject.NativeRuntime, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert runtime.train(out, {"training": tmp_path}) == 6
    assert json.loads((out / "seen.json").read_text()) == [["train"], str(out.resolve()), ["training"]]


def test_an_endpoint_is_named_by_its_process(runtime: subject.NativeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.serving_on(9000) is None
    monkeypatch.setattr(subject.native_endpoint, "running_pid", lambda *_: 4711)
    assert runtime.serving_on(9000) == "process 4711"


def test_sample_data_is_got_by_the_environments_python(runtime: subject.NativeRuntime, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(subject, "tee", lambda command: (0, " ".join(command)))
    _, command = runtime.get_sample_data(tmp_path)
    assert command == f"{sys.executable} -m fastai_training.sample_data {tmp_path}"
    assert runtime.path_here(Path("/elsewhere/digits"), tmp_path) == Path("/elsewhere/digits")


def test_no_base_image_is_needed(runtime: subject.NativeRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    runtime.ensure_base()
    runtime.build()
    assert capsys.readouterr().out.splitlines() == [
        "base: plain processes need no base image",
        f"build: {sys.executable} is ready",
    ]
