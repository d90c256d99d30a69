"""Clients that are slow, silent or greedy: they are given up in time, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.contract.conftest import Endpoint
from tests.contract.raw_http import Wire, echo_model, ends_at_once, open_files, post
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.engine

BODY_SECONDS = 5
IDLE_SECONDS = 8
PING = b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
MB = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return echo_model(tmp_path_factory.mktemp("echo") / "model")


@pytest.fixture(scope="module")
def impatient(start_endpoint: Callable[..., Endpoint], model: Path) -> Endpoint:
    """An endpoint whose limits of time are short."""
    environment = {
        "FASTAI_SAGEMAKER_BODY_TIMEOUT": str(BODY_SECONDS),
        "SAGEMAKER_MODEL_SERVER_VMARGS": f"-Dfastai.idle={IDLE_SECONDS}",
    }
    return start_endpoint(model, environment=environment)


def cpu_seconds(endpoint: Endpoint) -> float:
    return float(endpoint.container.stats(stream=False)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def announced(size: int) -> bytes:
    return f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()


CHUNKED = b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


STALLED = {
    "nothing of a body": announced(1000),
    "most of a body": announced(1000) + b"x" * 999,
    "some of a large body": announced(6 * MB) + b"x" * MB,
    "no chunk": CHUNKED,
    "some of a chunk": CHUNKED + b"5\r\nhello",
    "a chunk": CHUNKED + b"5\r\nhello\r\n",
    "some of a chunk's line": CHUNKED + b"5;never",
    "some of the trailers": CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n",
    "some of a refused body": REFUSED + b"x" * 1000,
    "a byte": b"P",
    "some of a head": b"POST /invocations HTTP/1.1\r\nHost: a\r\n",
    "some of a second head": PING + b"G",
}
#: To these a byte may be added again and again.
TRICKLING = ("nothing of a body", "some of a large body", "some of a refused body", "a byte", "some of a chunk's line")


@pytest.mark.parametrize("trickle", [False, True])
def test_what_does_not_go_on_is_408_and_the_connection_closed(impatient: Endpoint, trickle: bool):
    wires = {name: Wire(impatient).send(STALLED[name]) for name in (TRICKLING if trickle else STALLED)}
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            time.sleep(0.5)
            for wire in wires.values():
                with contextlib.suppress(OSError):
                    wire.send(b"x")

    client = threading.Thread(target=go_on)
    if trickle:
        client.start()
    try:
        answers = {name: wire.answers() for name, wire in wires.items()}
    finally:
        stop.set()
        if trickle:
            client.join()
        for wire in wires.values():
            wire.socket.close()
    for name, found in answers.items():
        if STALLED[name].startswith(PING):
            assert found.pop(0).status == 200
        assert [(answer.status, answer.code) for answer in found] == [(408, "request_timeout")], name
        assert found[0].headers["connection"] == "close"


def test_a_steady_body_may_take_longer(impatient: Endpoint):
    pieces = 2 * BODY_SECONDS * 5
    with Wire(impatient) as wire:
        wire.send(announced(8192 * pieces))
        for _ in range(pieces):
            wire.send(b"x" * 8192)
            time.sleep(0.2)
        answer = wire.answer()
    assert answer is not None
    assert answer.json()["bytes"] == 8192 * pieces


def test_idle_connections_are_closed_without_a_word(impatient: Endpoint):
    wires = {sent: Wire(impatient).send(sent) for sent in (b"", PING, post(b"hello"), b"\r\n")}
    for sent, wire in wires.items():
        if sent.strip():
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200
    begin = time.monotonic()
    for wire in wires.values():
        assert wire.is_closed()
        wire.socket.close()
    took = time.monotonic() - begin
    assert took > IDLE_SECONDS / 2


def test_a_connection_whose_answer_is_computed_is_not_idle(impatient: Endpoint):
    with Wire(impatient) as wire:
        # The next request is there in part: it is not this client's fault that it is not read on.
        answer = wire.send(post(b"sleep 20") + announced(5)).answer()
        assert answer is not None
        assert answer.json()["bytes"] == 8
        again = wire.send(b"hello").answer()
        assert again is not None
        assert again.json()["bytes"] == 5


def test_a_client_that_closes_its_side_and_then_resets_leaves_nothing(impatient: Endpoint):
    files = open_files(impatient)
    for sent in (post(b"sleep 3"), announced(1000) + b"x", b"GET /pi", PING):
        for _ in range(5):
            with Wire(impatient) as wire:
                wire.send(sent).socket.shutdown(socket.SHUT_WR)
                time.sleep(0.05)
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: open_files(impatient) <= files + 1)
    begin, used = time.monotonic(), cpu_seconds(impatient)
    time.sleep(2)
    assert cpu_seconds(impatient) - used < 0.5 * (time.monotonic() - begin), "something spins"


def test_a_client_that_takes_no_answers_is_closed(impatient: Endpoint):
    wires = [Wire(impatient) for _ in range(4)]
    for wire in wires:
        wire.send(post(b"large 8000000") * 8)
    files = open_files(impatient)
    until(lambda: open_files(impatient) <= files - len(wires))
    for wire in wires:
        wire.socket.close()


def test_a_client_that_takes_a_large_answer_slowly_gets_all_of_it(impatient: Endpoint):
    size = 12_000_000
    with Wire(impatient) as wire:
        wire.send(post(f"large {size}".encode()))
        got, slow_until = 0, time.monotonic() + 3 * IDLE_SECONDS
        while got < size:
            chunk = wire.socket.recv(MB if got > size // 2 else 65536)
            assert chunk, f"closed after {got:,} bytes: {impatient.log()[-1000:]}"
            got += len(chunk)
            if time.monotonic() < slow_until:
                time.sleep(0.5)
    assert got >= size


def test_sigterm_after_that_ends_at_once(impatient: Endpoint):
    """Nothing is counted as in flight any more, or it would take 24 s."""
    assert impatient.ping() == 200
    assert "Exception" not in impatient.log()
    assert ends_at_once(impatient)


def test_silent_uploads_lose_their_memory_to_whole_requests(start_endpoint: Callable[..., Endpoint], model: Path):
    # So long a time that memory comes back by this alone.
    endpoint = start_endpoint(model, environment={"FASTAI_SAGEMAKER_BODY_TIMEOUT": "3600"})
    silent = [Wire(endpoint).send(announced(6 * MB) + b"x" * (6 * MB - 1)) for _ in range(24)]
    chunked = [Wire(endpoint).send(CHUNKED + b"600000\r\n" + b"x" * (6 * MB - 1)) for _ in range(4)]
    statuses = []

    def served() -> bool:
        statuses.append(endpoint.invoke(b"y" * 5 * MB).status_code)
        return statuses[-1] == 200

    until(served)
    assert set(statuses) <= {200, 503}
    assert [endpoint.invoke(b"y" * 5 * MB).status_code for _ in range(10)] == [200] * 10
    # Those that were given up are told so; the rest can still end what they began.
    ends = []
    for index, wire in enumerate([*silent, *chunked]):
        if not select.select([wire.socket], [], [], 0)[0]:
            with contextlib.suppress(OSError):  # given up in this moment
                wire.send(b"x" if index < len(silent) else b"x\r\n0\r\n\r\n")
        answer = wire.answer()
        ends.append(answer and answer.status)
        wire.socket.close()
    assert set(ends) <= {200, 408, 503, None}
    assert 408 in ends
    assert ends_at_once(endpoint)


def test_chunks_of_one_byte_are_linear_work_and_others_have_their_turn(
    start_endpoint: Callable[..., Endpoint], model: Path
):
    endpoint = start_endpoint(model)

    def upload(size: int) -> float:
        """The container's seconds of processor time for it."""
        begin = cpu_seconds(endpoint)
        with Wire(endpoint) as wire:
            wire.socket.settimeout(4 * PATIENCE)
            answer = wire.send(CHUNKED + b"1\r\nx\r\n" * size + b"0\r\n\r\n").answer()
        assert answer is not None
        assert answer.json()["bytes"] == size
        return cpu_seconds(endpoint) - begin

    upload(1_000_000)  # what Java compiles is compiled
    assert upload(5_900_000) < 10 * upload(1_475_000)  # four times the bytes; sixteen times if it were quadratic

    clients = [threading.Thread(target=upload, args=(5_900_000,)) for _ in range(4)]
    for client in clients:
        client.start()
    pings = 0
    with Wire(endpoint) as wire:
        while all(client.is_alive() for client in clients):
            answer = wire.send(PING).answer()
            assert answer is not None
            assert answer.status == 200
            pings += 1
    for client in clients:
        client.join()
    # On a machine where an upload takes 10 s, one each tenth of a second.
    assert pings > 100


@pytest.mark.parametrize("limit", ["set", "of open files"])
def test_when_there_are_too_many_connections_the_longest_idle_makes_room(
    start_endpoint: Callable[..., Endpoint], model: Path, limit: str
):
    options: dict[str, Any] = {"environment": {"SAGEMAKER_MODEL_SERVER_VMARGS": "-Dfastai.max_connections=20"}}
    if limit == "of open files":
        options = {"ulimits": [docker.types.Ulimit(name="nofile", soft=256, hard=256)]}
    endpoint = start_endpoint(model, **options)
    before = open_files(endpoint)
    with Wire(endpoint) as working:
        working.send(post(b"sleep 5"))
        idle = [Wire(endpoint) for _ in range(300)]
        with Wire(endpoint) as late:
            answer = late.send(PING).answer()
            assert answer is not None
            assert answer.status == 200
            if limit == "set":
                until(lambda: open_files(endpoint) <= before + 25)
            assert idle[0].is_closed()
            done = working.answer()
            assert done is not None
            assert done.json()["bytes"] == 7
        for wire in idle:
            wire.socket.close()


def test_when_every_connection_is_at_work_a_new_one_is_503(start_endpoint: Callable[..., Endpoint], model: Path):
    endpoint = start_endpoint(model, environment={"SAGEMAKER_MODEL_SERVER_VMARGS": "-Dfastai.max_connections=4"})
    head = announced(5).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    wires: list[Wire] = []
    for _ in range(4):  # each is known to have begun; the connection that waited for the start makes room
        wires.append(Wire(endpoint).send(head))
        begun = wires[-1].answer()
        assert begun is not None
        assert begun.status == 100
    with Wire(endpoint) as wire:
        refused = wire.send(PING).answer()
    assert refused is not None
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "busy", "1")
    for wire in wires:
        answer = wire.send(b"hello").answer()
        assert answer is not None
        assert answer.json()["bytes"] == 5
        wire.socket.close()
    until(lambda: endpoint.ping() == 200)
