from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastai_local import endpoint as subject
from fastai_local import predict
from fastai_local.engine import Engine
from fastai_local.errors import LocalError, UsageError
from fastai_local.settings import Settings


class Server(http.server.BaseHTTPRequestHandler):
    """An endpoint whose answers are set by the test; it notes what it was sent."""

    status = 200
    body = b'{"class": "pug",\n "confidence": 0.5}'
    ping = 200
    seen: tuple[str, str | None, bytes] | None = None

    def do_GET(self) -> None:
        self.send_response(type(self).ping)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen = (self.path, self.headers["Content-Type"], body)
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Server], int]]:
    handler = type("Handler", (Server,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield handler, listener.server_address[1]
        listener.shutdown()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.JPG"
    path.write_bytes(b"\xff\xd8jpeg")
    return path


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


def test_a_model_that_only_its_owner_can_read_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "model.json"
    file.touch(0o644)
    subject.require_readable(tmp_path)
    file.chmod(0o600)
    with pytest.raises(LocalError, match="chmod"):
        subject.require_readable(tmp_path)


def test_a_port_in_use_is_an_error_that_names_another(tmp_path: Path, server, monkeypatch) -> None:
    _, port = server
    monkeypatch.setenv("PATH", str(tmp_path))  # no engine to ask
    with pytest.raises(LocalError, match=rf"port {port} is in use.*PORT=\d+"):
        subject.require_port(Settings(root=tmp_path), None, port)
    subject.require_port(Settings(root=tmp_path), None, subject.free_port())


def test_a_port_of_ours_says_so(tmp_path: Path, monkeypatch, server) -> None:
    _, port = server
    monkeypatch.setattr(subject.native_endpoint, "running_pid", lambda *_: 4711)
    with pytest.raises(LocalError, match=r"ours \(process 4711\).*make stop"):
        subject.require_port(Settings(root=tmp_path), None, port)


def test_waiting_ends_when_ping_is_200(server) -> None:
    handler, port = server
    assert subject.wait_until_ready(port, lambda: None, seconds=60) is None
    handler.ping = 503
    assert "not ready in 0 seconds" in str(subject.wait_until_ready(port, lambda: None, seconds=0.4))


def test_waiting_ends_at_once_when_the_server_does() -> None:
    assert (
        subject.wait_until_ready(subject.free_port(), lambda: "it ended with exit code 3")
        == "it ended with exit code 3"
    )


def test_ping_that_hangs_up_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert not subject.is_ready(listener.getsockname()[1])


def test_the_endpoints_container_has_no_rights(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    engine = Engine("docker", "28.0", "28.0", "amd64", "buildx")
    command = subject.docker_command(Settings(), engine, tmp_path, 9000, "image:cpu")
    text = " ".join(command)
    assert "--publish 127.0.0.1:9000:8080" in text
    assert "--read-only" in command
    assert "--cap-drop ALL --security-opt no-new-privileges" in text
    assert f"--mount type=bind,source={tmp_path},target=/opt/ml/model,readonly" in text
    assert "--name fastai-sagemaker-serving-9000" in text
    assert command[-2:] == ["image:cpu", "serve"]
    assert "--user" not in command


def test_predict_sends_the_picture_and_gives_one_line(server, picture: Path) -> None:
    handler, port = server
    assert predict.predict(picture, port) == '{"class": "pug", "confidence": 0.5}'
    assert handler.seen == ("/invocations", "image/jpeg", picture.read_bytes())


def test_predict_gives_the_servers_sentence(server, picture: Path) -> None:
    handler, port = server
    handler.status = 415
    handler.body = json.dumps({"error": {"code": "unsupported_media_type", "message": "send image/jpeg"}}).encode()
    with pytest.raises(LocalError, match="answered 415: send image/jpeg"):
        predict.predict(picture, port)
    handler.body = b"<html>\nno</html>"
    with pytest.raises(LocalError, match="answered 415: <html> no</html>"):
        predict.predict(picture, port)


def test_predict_where_nothing_or_another_program_listens(server, picture: Path) -> None:
    with pytest.raises(LocalError, match=r"nothing listens.*make serve"):
        predict.predict(picture, subject.free_port())
    handler, port = server
    handler.body = b"hello"
    with pytest.raises(LocalError, match="no proper answer"):
        predict.predict(picture, port)


def test_a_proxy_is_not_asked(server, picture: Path, monkeypatch) -> None:
    _, port = server
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{subject.free_port()}")
    assert "pug" in predict.predict(picture, port)


@pytest.mark.parametrize(
    ("name", "message"),
    [(None, "IMAGE is missing"), ("gone.jpg", "no such file"), (".", "is a folder"), ("a.txt", "no picture format")],
)
def test_wrong_pictures(tmp_path: Path, name: str | None, message: str) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=message):
        predict.require_picture(tmp_path / name if name else None)
