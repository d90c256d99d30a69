from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_local import ports
from fastai_local import prediction as subject
from fastai_local.errors import LocalError, UsageError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.JPG"
    path.write_bytes(b"\xff\xd8jpeg")
    return path


def test_predict_sends_the_picture_and_gives_one_line(server, picture: Path) -> None:
    handler, port = server
    assert subject.predict(picture, port) == '{"class": "pug", "confidence": 0.5}'
    assert handler.seen == ("/invocations", "image/jpeg", picture.read_bytes())


def test_predict_gives_the_servers_sentence(server, picture: Path) -> None:
    handler, port = server
    handler.status = 415
    handler.body = json.dumps({"error": {"code": "unsupported_media_type", "message": "send image/jpeg"}}).encode()
    with pytest.raises(LocalError, match="answered 415: send image/jpeg"):
        subject.predict(picture, port)
    handler.body = b"<html>\nno</html>"
    with pytest.raises(LocalError, match="answered 415: <html> no</html>"):
        subject.predict(picture, port)


def test_predict_where_nothing_or_another_program_listens(server, picture: Path) -> None:
    with pytest.raises(LocalError, match=r"nothing listens.*make serve"):
        subject.predict(picture, ports.free_port())
    handler, port = server
    handler.body = b"hello"
    with pytest.raises(LocalError, match="no proper answer"):
        subject.predict(picture, port)


def test_a_proxy_is_not_asked(server, picture: Path, monkeypatch) -> None:
    _, port = server
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{ports.free_port()}")
    assert "pug" in subject.predict(picture, port)


@pytest.mark.parametrize(
    ("name", "message"),
    [(None, "PICTURE is missing"), ("gone.jpg", "no such file"), (".", "is a folder"), ("a.txt", "no picture format")],
)
def test_wrong_pictures(tmp_path: Path, name: str | None, message: str) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=message):
        subject.require_picture(tmp_path / name if name else None)
