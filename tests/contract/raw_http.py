"""A client that sends bytes as they are, and a script to be served that says what it was sent."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.contract.conftest import Endpoint
from tests.contract.serving import direct, exit_code, processes
from tests.waiting import PATIENCE

#: Answers how many bytes came and their CRC. ``sleep N`` takes N seconds, ``large N`` is answered with N bytes,
#: ``status N`` fails with that status, ``break`` makes all later requests to the same worker fail.
ECHO = """
import json, time, zlib
def model_fn(model_dir): return lambda data: data
def input_fn(data, content_type): return data.encode() if isinstance(data, str) else bytes(data)
def predict_fn(data, model):
    if data.startswith(b"sleep "): time.sleep(float(data.split()[1]))
    if data.startswith(b"status "):
        error = ValueError("the script's own " + data.split()[1].decode())
        error.status_code = int(data.split()[1])
        raise error
    if data == b"break":
        import fastai_serving.worker.handler
        fastai_serving.worker.handler._service.respond = None
    return data
def output_fn(data, accept):
    if data.startswith(b"large "): return "x" * int(data.split()[1]), "text/plain"
    return json.dumps({"bytes": len(data), "crc": zlib.crc32(data)}), "application/json"
"""


def echo_model(folder: Path) -> Path:
    """A model folder with the script alone."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(ECHO)
    return folder


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Wire:
    """One connection to the container's own address."""

    endpoint: Endpoint
    socket: socket.socket = field(init=False)
    _left: bytes = b""

    def __post_init__(self) -> None:
        address = urlsplit(direct(self.endpoint))
        self.socket = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=PATIENCE)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, sent: bytes) -> Wire:
        self.socket.sendall(sent)
        return self

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            piece = b""
        self._left += piece
        return piece != b""

    def answer(self, head: bool = False) -> Answer | None:
        """The next answer; None when the connection is closed before it. ``head``: it has no body whatever it says."""
        while b"\r\n\r\n" not in self._left:
            if not self._more():
                assert self._left == b"", self._left
                return None
        top, _, self._left = self._left.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split()[1])
        length = 0 if head or status in (100, 204) else int(headers["content-length"])
        while len(self._left) < length:
            assert self._more(), "the connection was closed within an answer"
        body, self._left = self._left[:length], self._left[length:]
        return Answer(status, headers, body)

    def answers(self) -> list[Answer]:
        """All answers until the other side closes the connection."""
        found = []
        while (answer := self.answer()) is not None:
            found.append(answer)
        return found

    def is_closed(self) -> bool:
        """Whether the other side closes the connection without another word."""
        return self._left == b"" and not self._more()


def ask(endpoint: Endpoint, sent: bytes) -> list[Answer]:
    """All that is answered to these bytes until the server closes the connection, which it must do by itself."""
    with Wire(endpoint) as wire:
        return wire.send(sent).answers()


def post(body: bytes, *headers: str, path: str = "/invocations") -> bytes:
    """A well-formed request."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/octet-stream", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def open_files(endpoint: Endpoint) -> int:
    """File descriptors of the front end."""
    pid = processes(endpoint)["java"][0]
    command = f"import os; print(len(os.listdir('/proc/{pid}/fd')))"
    return int(endpoint.container.exec_run(["python3", "-P", "-c", command]).output)


def ends_at_once(endpoint: Endpoint) -> bool:
    """Whether SIGTERM ends the container with 0, with no request left that is counted and never answered."""
    endpoint.session.close()
    endpoint.container.kill("SIGTERM")
    ended = exit_code(endpoint) == 0
    log = endpoint.log()
    return ended and "could not be answered" not in log and "not all requests were answered" not in log
