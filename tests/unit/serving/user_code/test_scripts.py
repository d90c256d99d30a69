from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.environment import PACKAGES_ENV, SCRIPT_ENV, STATE_ENV
from fastai_serving.user_code import scripts
from fastai_serving.user_code.scripts import Script, find, find_of_model, not_for_many, of_worker, prepare, unused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model" / "code").mkdir(parents=True)
    return tmp_path / "model"


def script(folder: Path, text: str, name: str = "inference.py") -> Path:
    path = folder / "code" / name
    path.write_text(text)
    return path


def test_find(folder: Path, tmp_path: Path):
    code = tmp_path / "ml-code"
    assert find(folder, code, {}) is None
    path = script(folder, "")
    assert find(folder, code, {}) == Script(path)
    with pytest.raises(UserError, match=r"SAGEMAKER_PROGRAM names other\.py"):
        find(folder, code, {"SAGEMAKER_PROGRAM": "other.py"})
    code.mkdir()
    (code / "other.py").write_text("")
    assert find(folder, code, {"SAGEMAKER_PROGRAM": "other"}) == Script(code / "other.py")
    submitted = {"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/key.tar.gz"}
    assert find(folder, code, submitted) == Script(Path("a.py"), "s3://bucket/key.tar.gz")


def test_what_version_3_of_the_sdk_always_sets_asks_for_no_script(folder: Path, tmp_path: Path):
    always = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    assert find(folder, tmp_path, always) is None
    assert find(folder, tmp_path, always | {"SAGEMAKER_SUBMIT_DIRECTORY": str(folder / "code")}) is None
    for mistyped in ({"SAGEMAKER_PROGRAM": "inferense.py"}, {"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/cde"}):
        with pytest.raises(UserError, match="SAGEMAKER_PROGRAM names"):
            find(folder, tmp_path, always | mistyped)
    path = script(folder, "")
    assert find(folder, tmp_path, always) == Script(path)


def test_an_archive_may_not_write_elsewhere(tmp_path: Path):
    archive = tmp_path / "code.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for name, kind in (("a.py", tarfile.REGTYPE), ("../evil.py", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member, io.BytesIO(b""))
    state = tmp_path / "state"
    state.mkdir()
    told = prepare(Script(Path("a.py"), str(archive)), state)
    assert told == {SCRIPT_ENV: str(state / "code" / "a.py")}
    assert sorted(path.name for path in (state / "code").iterdir()) == ["a.py"]
    assert not (state / "evil.py").exists()
    with pytest.raises(UserError, match="can't get the script's archive"):
        prepare(Script(Path("a.py"), str(tmp_path / "gone.tar.gz")), tmp_path)


def test_the_script_of_one_of_many_models(folder: Path):
    assert find_of_model(folder, {}) is None
    default = script(folder, "")
    assert find_of_model(folder, {"SAGEMAKER_PROGRAM": "train.py"}) == default
    named = script(folder, "", "train.py")
    assert find_of_model(folder, {"SAGEMAKER_PROGRAM": "train.py"}) == named
    assert find_of_model(folder, {"SAGEMAKER_PROGRAM": "train"}) == named
    assert find_of_model(folder, {}) == default


def test_scripts_that_nobody_runs_are_named(folder: Path, tmp_path: Path):
    code = tmp_path / "ml-code"
    assert unused(folder, code) == []
    (folder / "code" / "requirements.txt").write_text("x")
    assert "there is no script beside it" in unused(folder, code)[0]
    script(folder, "", "predictor.py")
    (folder / "inference.py").write_text("")
    code.mkdir()
    (code / "serve.py").write_text("")
    told = unused(folder, code)
    assert len(told) == 3
    assert f"{folder}/code/predictor.py is not used" in told[0]
    assert "SAGEMAKER_PROGRAM=predictor.py" in told[0]
    assert "serve.py is not used" in told[1]
    assert f"put scripts into {folder}/code" in told[2]


def test_variables_that_many_models_do_not_get():
    told = not_for_many({"SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/c", "PIP_INDEX_URL": "https://u:secret@x"}, kept=False)
    assert len(told) == 2
    assert "s3://b/c is not used" in told[0]
    assert "PIP_INDEX_URL is not given" in told[1]
    assert "secret" not in told[1]
    always = {"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code", "PIP_INDEX_URL": "x"}
    assert not_for_many(always, kept=True) == []


def test_no_script_is_said_to_the_workers(tmp_path: Path):
    assert prepare(None, tmp_path) == {SCRIPT_ENV: ""}


def test_a_worker_runs_what_the_supervisor_told(folder: Path, tmp_path: Path):
    script(folder, "")
    told = {SCRIPT_ENV: "/elsewhere/mine.py"}
    assert of_worker(folder, told) == (Path("/elsewhere/mine.py"), None)
    assert of_worker(folder, told | {PACKAGES_ENV: "/state/packages"})[1] == Path("/state/packages")
    assert of_worker(folder, {SCRIPT_ENV: ""}) == (None, None), "none, whatever lies in the folder"


def test_a_worker_of_many_models_runs_what_each_brings(folder: Path, tmp_path: Path, monkeypatch, caplog):
    script(folder, "", "predictor.py")
    assert of_worker(folder, {}) == (None, None)
    assert "predictor.py is not used" in caplog.text
    path = script(folder, "")
    assert of_worker(folder, {STATE_ENV: str(tmp_path)}) == (path, None)
    (folder / "code" / "requirements.txt").write_text("x")
    monkeypatch.setattr(scripts.packages, "install_once", lambda requirements, state: state / "installed")
    assert of_worker(folder, {STATE_ENV: str(tmp_path)}) == (path, tmp_path / "installed")
    assert of_worker(folder, {}) == (path, None)
