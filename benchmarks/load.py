"""A light HTTP client: so many connections in one thread, each with its next request out as soon as it is answered.

It knows which picture it has sent on which connection, so every answer can be judged; wrk's scripts can't tell.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import percentile

#: An answer is only right or wrong where fp32 itself is sure.
SURE = 0.6


@dataclass(frozen=True)
class Picture:
    """A request's body, and the class that is the right answer."""

    name: str
    body: bytes
    expected: str

    def request(self, path: str) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nAccept: application/json\r\n"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


@dataclass
class Load:
    """What one run of load found; ``latencies`` in seconds, of the answers that arrived in the measured time."""

    seconds: float
    client_cpu: float
    latencies: list[float] = field(default_factory=list)
    right: int = 0
    wrong: int = 0
    errors: int = 0
    drained: int = 0
    first_error: str = ""

    def summary(self) -> dict[str, float]:
        known = self.latencies or [float("nan")]
        return {
            "per_second": len(self.latencies) / self.seconds,
            "p50_ms": 1000 * percentile(known, 0.5),
            "p99_ms": 1000 * percentile(known, 0.99),
            "answers": len(self.latencies),
            "right": self.right,
            "wrong": self.wrong,
            "errors": self.errors,
            "client_cpu": self.client_cpu / self.seconds,
        }


class _Connection:
    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None
        self.started = 0.0
        self.picture: Picture | None = None
        self.received = b""
        self.unsent = memoryview(b"")

    def open(self) -> socket.socket:
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
        return self.socket

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def _whole(received: bytes) -> tuple[int, bytes] | None:
    """Status and body of an answer that has arrived in full."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    status = int(head[9:12])
    lower = head.lower()
    _, found, length = lower.partition(b"\r\ncontent-length:")
    if found:
        return (status, body) if len(body) >= int(length.split(b"\r\n", 1)[0]) else None
    if b"transfer-encoding: chunked" in lower:
        if not body.endswith(b"0\r\n\r\n"):
            return None
        parts = []
        while body:
            size, _, body = body.partition(b"\r\n")
            parts.append(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        return status, b"".join(parts)
    raise ValueError(f"an answer without a length: {head[:200]!r}")


def _drain(connections: Sequence[_Connection]) -> int:
    """Takes the answers that are still due, and counts them: working them off would slow down who is measured next."""
    answers = 0
    for connection in connections:
        sock = connection.socket
        if sock is None or connection.unsent:
            continue
        sock.settimeout(60)
        try:
            while _whole(connection.received) is None and (data := sock.recv(1 << 16)):
                connection.received += data
            answers += 1
        except (OSError, ValueError):
            continue
    return answers


def _judge(load: Load, picture: Picture, status: int, body: bytes) -> bool:
    """Whether it is an answer at all; a class other than the expected one is counted apart."""
    try:
        answered = json.loads(body)["class"] if status == 200 else None
    except (ValueError, KeyError, TypeError):
        answered = None
    if answered is None:
        load.errors += 1
        load.first_error = load.first_error or f"{status} {body[:200]!r}"
        return False
    if answered == picture.expected:
        load.right += 1
    else:
        load.wrong += 1
    return True


def run(
    port: int,
    path: str,
    pictures: Sequence[Picture],
    clients: int,
    seconds: float,
    most_seconds: float,
    warm_seconds: float = 0.5,
) -> Load:
    """Loads a server for ``seconds``, and as long as each client hasn't had two answers, at most ``most_seconds``."""
    requests = [(picture, picture.request(path)) for picture in pictures]
    load = Load(0, 0)
    selector = selectors.DefaultSelector()
    following = 0

    def send(connection: _Connection) -> None:
        nonlocal following
        connection.picture, data = requests[following % len(requests)]
        following += 1
        connection.received = b""
        sock = connection.open()
        connection.started = time.perf_counter()
        connection.unsent = memoryview(data)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def again(connection: _Connection) -> None:
        assert connection.socket is not None
        selector.unregister(connection.socket)
        send(connection)

    def failed(connection: _Connection, error: Exception) -> None:
        load.errors += 1
        load.first_error = load.first_error or repr(error)
        if connection.socket is not None:
            selector.unregister(connection.socket)
        connection.close()
        send(connection)

    connections = [_Connection(port) for _ in range(clients)]
    for connection in connections:
        send(connection)
    began = time.perf_counter()
    measured_from, cpu_from = None, 0.0
    try:
        while True:
            now = time.perf_counter()
            if measured_from is None and now - began >= warm_seconds:
                measured_from, cpu_from = now, time.process_time()
                load.latencies.clear()
            if measured_from is not None:
                past = now - measured_from
                if past >= most_seconds or (past >= seconds and len(load.latencies) >= 2 * clients):
                    load.seconds, load.client_cpu = past, time.process_time() - cpu_from
                    load.drained = _drain([connection for connection in connections if connection.picture is not None])
                    return load
            for key, events in selector.select(0.05):
                connection = key.data
                sock = connection.socket
                try:
                    if events & selectors.EVENT_WRITE and connection.unsent:
                        sent = sock.send(connection.unsent)
                        connection.unsent = connection.unsent[sent:]
                        if not connection.unsent:
                            selector.modify(sock, selectors.EVENT_READ, connection)
                    if events & selectors.EVENT_READ:
                        data = sock.recv(1 << 16)
                        if not data:
                            raise ConnectionError("the server closed the connection")
                        connection.received += data
                        whole = _whole(connection.received)
                        if whole:
                            if _judge(load, connection.picture, *whole):
                                load.latencies.append(time.perf_counter() - connection.started)
                            again(connection)
                except BlockingIOError:
                    continue
                except (OSError, ValueError) as error:
                    failed(connection, error)
    finally:
        for connection in connections:
            connection.close()
        selector.close()


class Client:
    """One connection that stays, and one request at a time; opened anew after an error."""

    def __init__(self, port: int, timeout: float = 120) -> None:
        self._connection, self._timeout = _Connection(port), timeout

    def ask(self, path: str, picture: Picture) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError when there is none."""
        return self._exchange(picture.request(path))

    def get(self, path: str) -> int:
        """The status. Raises OSError when there is no answer."""
        return self._exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())[0]

    def close(self) -> None:
        self._connection.close()

    def _exchange(self, sent: bytes) -> tuple[int, bytes]:
        received = b""
        try:
            sock = self._connection.open()
            sock.settimeout(self._timeout)
            sock.sendall(sent)
            while (whole := _whole(received)) is None:
                data = sock.recv(1 << 16)
                if not data:
                    raise ConnectionError("the server closed the connection")
                received += data
        except OSError:
            self.close()
            raise
        if b"\r\nconnection: close" in received.partition(b"\r\n\r\n")[0].lower():
            self.close()
        return whole


def ping_ms(port: int, times: int = 300) -> float:
    """Median milliseconds of GET /ping, which a front end answers without a worker: the network and itself."""
    found = []
    connection = _Connection(port)
    try:
        sock = connection.open()
        sock.setblocking(True)
        for _ in range(times):
            began = time.perf_counter()
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = b""
            while _whole(received) is None:
                received += sock.recv(1 << 16)
            found.append(time.perf_counter() - began)
    finally:
        connection.close()
    return 1000 * percentile(found, 0.5)


def ask(port: int, path: str, picture: Picture) -> str | None:
    """One answer's class; None for an error's. Raises OSError when nobody listens."""
    client = Client(port)
    try:
        status, body = client.ask(path, picture)
        return str(json.loads(body)["class"]) if status == 200 else None
    except (ValueError, KeyError, TypeError):
        return None
    finally:
        client.close()


def pictures_of(folder: Path, size: str, expected: Mapping[str, Mapping[str, Any]]) -> list[Picture]:
    """The pictures of one size with their right answers; none that fp32 itself is not sure of."""
    return [
        Picture(path.name, path.read_bytes(), expected[f"{size}/{path.name}"]["class"])
        for path in sorted((folder / "pictures" / size).glob("*.jpg"))
        if expected[f"{size}/{path.name}"]["confidence"] >= SURE
    ]
