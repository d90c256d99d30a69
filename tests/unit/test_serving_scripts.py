from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.hooks import (
    ScriptError,
    answer_from_script,
    body_for_script,
    call,
    error_of_script,
    load_hooks,
)
from fastai_serving.scripts import SCRIPT_ENV, Script, find, prepare


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


def test_hooks_are_found_and_called_with_or_without_context(folder: Path):
    path = script(folder, "def input_fn(data, kind, context): return context\ndef predict_fn(data, model): return data")
    hooks = load_hooks(path)
    assert call(hooks.input_fn, (b"", ""), "ctx") == "ctx"
    assert call(hooks.predict_fn, (1, None), "ctx") == 1
    assert hooks.model_fn is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def transform_fn(a, b, c, d): 0\ndef output_fn(a, b): 0", "keep one or the other"),
        ("predict_fn = 3", "is no function"),
        ("def model_fn(): 0", "takes 0 arguments"),
    ],
)
def test_hooks_that_cannot_be(folder: Path, text: str, reason: str):
    path = script(folder, text, f"wrong_{abs(hash(text))}.py")
    with pytest.raises(ScriptError, match=reason):
        load_hooks(path)


def test_a_script_with_the_name_of_a_module_in_use(folder: Path):
    path = script(folder, "def model_fn(model_dir): return 'mine'", "json.py")
    assert load_hooks(path).model_fn("") == "mine"
    import json

    assert json.dumps(1) == "1"


def test_bodies_and_answers():
    assert body_for_script(b"1,2", "text/csv; charset=utf-8") == "1,2"
    assert body_for_script(b"\xff", "image/jpeg") == b"\xff"
    assert answer_from_script(("x", "text/plain"), "application/json").content_type == "text/plain"
    assert answer_from_script({"a": Path("b")}, "application/json").body == b'{"a": "b"}'


def test_errors_keep_their_status():
    class TeapotError(Exception):
        status_code = 418

    assert error_of_script(TeapotError("short")).status == 418
    assert error_of_script(KeyError("x")).status == 500
    TeapotError.status_code = 200
    assert error_of_script(TeapotError("odd")).status == 500


def test_the_toolkits_decoder_is_there_without_scipy(monkeypatch):
    from fastai_serving import hooks

    real = hooks.importlib.util.find_spec
    monkeypatch.setattr(hooks.importlib.util, "find_spec", lambda name: None if name == "scipy" else real(name))
    for name in [name for name in sys.modules if name.split(".")[0] in ("scipy", "sagemaker_inference")]:
        monkeypatch.delitem(sys.modules, name)
    hooks._import_decoder()
    from sagemaker_inference import decoder

    assert decoder.decode("1,2", "text/csv").tolist() == [1, 2]
    assert "scipy" not in sys.modules
    with pytest.raises(ImportError, match=r"requirements\.txt"):
        decoder.decode(b"", "application/x-npz")
