from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path

import pytest

from fastai_local import docker_runtime as subject
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_local.settings import Settings

ENGINE = Engine("docker", "28.0", "28.0", "amd64", "buildx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my, pictures: 2"
    folder.mkdir()
    return folder


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
    command = subject.job_command(Settings(network="none"), ENGINE, tmp_path, {"training": data}, "job-1", "image:cpu")
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
    command = subject.job_command(Settings(device="gpu"), ENGINE, tmp_path, {}, "job-1", "image:gpu")
    assert command[command.index("--gpus") + 1] == "all"


def test_the_endpoints_container_has_no_rights(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    engine = Engine("docker", "28.0", "28.0", "amd64", "buildx")
    command = subject.endpoint_command(Settings(), engine, tmp_path, 9000, "image:cpu")
    text = " ".join(command)
    assert "--publish 127.0.0.1:9000:8080" in text
    assert "--read-only" in command
    assert "--cap-drop ALL --security-opt no-new-privileges" in text
    assert f"--mount type=bind,source={tmp_path},target=/opt/ml/model,readonly" in text
    assert "--name fastai-sagemaker-serving-9000" in text
    assert command[-2:] == ["image:cpu", "serve"]
    assert "--user" not in command


def test_a_model_that_only_its_owner_can_read_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "model.json"
    file.touch(0o644)
    subject.require_readable(tmp_path)
    file.chmod(0o600)
    with pytest.raises(LocalError, match="chmod"):
        subject.require_readable(tmp_path)


class Noting(Engine):
    """An engine that says what the test set, and notes what it is asked."""

    def says(self, *results: Result) -> Noting:
        object.__setattr__(self, "results", list(results))
        object.__setattr__(self, "asked", [])
        return self

    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        self.asked.append([str(arg) for arg in args])
        return self.results.pop(0) if self.results else Result(0)


def noting(*results: Result) -> subject.DockerRuntime:
    engine = Noting("docker", "28.0", "28.0", "amd64", "buildx").says(*results)
    return subject.DockerRuntime(Settings(), engine)


OURS = "the container fastai-sagemaker-serving-9000"


@pytest.mark.parametrize(("state", "found"), [("running", OURS), ("exited", None)])
def test_an_endpoint_is_known_by_its_containers_name(state: str, found: str | None) -> None:
    assert noting(Result(0, state + "\n")).serving_on(9000) == found


def test_stopping_gives_the_server_its_time_and_removes_it() -> None:
    runtime = noting()
    runtime.stop(9000)
    name = "fastai-sagemaker-serving-9000"
    assert runtime.engine.asked == [["stop", "--time", "30", name], ["rm", "--force", name]]


def test_all_of_ours_are_found_by_their_label_and_removed() -> None:
    runtime = noting(Result(0, "one two\n"))
    assert runtime.stop_all() == ["one", "two"]
    assert f"label={subject.LABEL}" in runtime.engine.asked[0]
    assert runtime.engine.asked[-1] == ["rm", "--force", "one", "two"]
    with pytest.raises(LocalError, match="can't be removed: busy"):
        noting(Result(0, "one\n"), Result(0), Result(1, "", "busy")).stop_all()


def test_a_container_that_ended_says_how() -> None:
    state = '{"Running": false, "ExitCode": 137, "OOMKilled": true}'
    assert noting(Result(0, state))._why_ended("x") == "it ended with exit code 137, out of memory"
    assert noting(Result(0, '{"Running": true}'))._why_ended("x") is None
    assert noting(Result(1))._why_ended("x") == "its container is gone"


def test_an_endpoint_that_cannot_be_started_is_removed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    runtime = noting(Result(0), Result(0), Result(125, "", "no such device"))
    with pytest.raises(LocalError, match="can't be started: no such device"):
        runtime.serve(tmp_path, 9000)
    assert runtime.engine.asked[-1] == ["rm", "--force", "fastai-sagemaker-serving-9000"]


def test_sample_data_is_got_by_the_training_image(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(subject, "tee", lambda command: (0, " ".join(command)))
    code, command = subject.DockerRuntime(Settings(network="none"), ENGINE).get_sample_data(tmp_path)
    assert code == 0
    assert "--network none" in command
    assert f"source={tmp_path},target=/sample" in command
    assert command.endswith("fastai-sagemaker-training:cpu python3 -m fastai_training.sample_data /sample")


def test_the_containers_folder_is_this_machines(tmp_path: Path) -> None:
    runtime = subject.DockerRuntime(Settings(), ENGINE)
    assert runtime.path_here(Path("/sample/pets/images"), tmp_path) == tmp_path / "pets" / "images"
