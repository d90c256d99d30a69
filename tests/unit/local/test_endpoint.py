from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local import endpoint as subject
from fastai_local import native_endpoint
from fastai_local.errors import LocalError, UsageError
from fastai_local.settings import Settings


def test_a_model_folder_is_told_from_others(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MODEL is missing"):
        subject.require_model(None)
    with pytest.raises(UsageError, match="no such folder"):
        subject.require_model(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"no model\.json \(it holds nothing\)"):
        subject.require_model(tmp_path)
    (tmp_path / "model.tar.gz").touch()
    with pytest.raises(UsageError, match="unpack"):
        subject.require_model(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").touch()
    with pytest.raises(UsageError, match=f"MODEL={tmp_path}/model"):
        subject.require_model(tmp_path)
    assert subject.require_model(tmp_path / "model") == tmp_path / "model"


def test_a_port_in_use_is_an_error_that_names_another(tmp_path: Path, server, monkeypatch) -> None:
    _, port = server
    monkeypatch.setenv("PATH", str(tmp_path))  # no engine to ask
    with pytest.raises(LocalError, match=rf"port {port} is in use.*PORT=\d+"):
        subject.require_port(Settings(root=tmp_path), port)
    subject.require_port(Settings(root=tmp_path), subject.free_port())


def test_a_port_of_ours_says_so(tmp_path: Path, monkeypatch, server) -> None:
    _, port = server
    monkeypatch.setattr(native_endpoint, "running_pid", lambda *_: 4711)
    with pytest.raises(LocalError, match=r"ours \(process 4711\).*make stop"):
        subject.require_port(Settings(root=tmp_path), port)
