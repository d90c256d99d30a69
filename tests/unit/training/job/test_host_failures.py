from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastai_training.job.host_failures import PeerFailure, Peers, shared_key
from fastai_training.job.hosts import Cluster
from tests.waiting import PATIENCE, until

#: All of them loopback addresses: hosts of one machine.
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def start() -> Iterator[Callable[..., Peers]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started: list[Peers] = []

    def one(index: int, **options: Any) -> Peers:
        settings = {"beat": 0.1, "silence": PATIENCE, "meet": PATIENCE, "key": b"of this job"} | options
        peers = Peers(Cluster(HOSTS[index], HOSTS, None), lambda _failure: None, port=port, **settings)
        peers.start()
        started.append(peers)
        return peers

    yield one
    for peers in started:
        peers.report(None)


def meet(all_peers: list[Peers]) -> None:
    until(lambda: len(all_peers[0]._connections) == len(all_peers) - 1)


def test_a_failure_is_heard_by_all(start: Callable[..., Peers]):
    peers = [start(index) for index in range(3)]
    meet(peers)
    peers[1].report("ValueError: no label")
    for other in (peers[0], peers[2]):
        assert other.failure(PATIENCE) == PeerFailure(HOSTS[1], "ValueError: no label")


def test_one_that_dies_is_noticed_by_all(start: Callable[..., Peers]):
    peers = [start(index) for index in range(3)]
    meet(peers)
    peers[2]._closing.set()  # no goodbye
    peers[2]._connections[HOSTS[0]].shutdown(socket.SHUT_RDWR)
    for other in peers[:2]:
        failure = other.failure(PATIENCE)
        assert failure is not None
        assert failure.host == HOSTS[2]
        assert "died without a word" in failure.reason


def test_one_that_is_silent_counts_as_dead(start: Callable[..., Peers]):
    peers = [start(0, silence=15), start(1), start(2, beat=600)]
    meet(peers)
    failure = peers[1].failure(PATIENCE)
    assert failure is not None
    assert failure.host == HOSTS[2]


def test_an_end_in_order_is_no_failure(start: Callable[..., Peers]):
    peers = [start(index) for index in range(3)]
    meet(peers)
    peers[1].report(None)
    until(lambda: peers[2].stopped() == [HOSTS[1]])
    peers[0].report(None)
    until(lambda: HOSTS[0] in peers[2].stopped())
    assert peers[2].failure(1.5) is None


def test_one_that_parts_while_it_introduces_itself_is_heard(
    start: Callable[..., Peers], monkeypatch: pytest.MonkeyPatch
):
    introducing = threading.Event()
    introduce = Peers._introduce

    def slowly(self: Peers, connection: socket.socket) -> None:
        introducing.set()
        self._closing.wait(PATIENCE)  # until report has begun
        introduce(self, connection)

    monkeypatch.setattr(Peers, "_introduce", slowly)
    peers = [start(0), start(1)]
    assert introducing.wait(PATIENCE)
    peers[1].report("ValueError: no label")
    assert peers[0].failure(PATIENCE) == PeerFailure(HOSTS[1], "ValueError: no label")


def test_one_that_never_comes(start: Callable[..., Peers]):
    peers = [start(0, meet=15), start(1)]
    for one in peers:
        failure = one.failure(PATIENCE)
        assert failure is not None
        assert failure.host == HOSTS[2]
        assert "did not come up" in failure.reason


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"event": "failed", "host": "127.0.0.2", "reason": "SPOOFED"}\n',
        b'{"event": "hello", "host": "127.0.0.2"}\n{"event": "failed", "host": "127.0.0.2", "reason": "SPOOFED"}\n',
        b'{"event": "hello", "host": "127.0.0.2", "proof": "' + b"0" * 64 + b'"}\n{"event": "failed"}\n',
        b'{"event": "hello", "host": "127.0.0.2", "proof": "\xc3\xa9"}\n',
        b'{"event": "hello", "host": ["127.0.0.2"], "proof": 7}\n',
        b"[" * 5000 + b"\n",
        b"[]\n",
        b"7" * 20_000,
        b"\n",
    ],
)
def test_a_stranger_is_sent_away_unheard(start: Callable[..., Peers], line: bytes):
    first = start(0)
    with socket.create_connection(("127.0.0.1", first.port), timeout=60) as stranger:
        stranger.sendall(line)
        with contextlib.suppress(ConnectionResetError):  # closed before all of it was read
            heard = b""
            while chunk := stranger.recv(1000):
                heard += chunk
            assert heard.startswith(b'{"challenge": "')
            assert heard.count(b"\n") == 1
    assert not first._connections
    assert first.failure() is None


def test_a_host_of_another_job_is_not_taken_for_one_of_this(start: Callable[..., Peers]):
    first = start(0)
    other = start(1, key=b"of another job", meet=2.0)
    failure = other.failure(60)
    assert failure is not None
    assert "it did not take this host for one of its job" in failure.reason
    assert not first._connections
    assert first.failure() is None


def test_strangers_in_number_keep_no_host_out(start: Callable[..., Peers]):
    first = start(0)
    with contextlib.ExitStack() as strangers:
        for _ in range(100):  # they say nothing; the later ones are closed at once
            strangers.enter_context(socket.create_connection(("127.0.0.1", first.port), timeout=60))
        others = [start(1), start(2)]
        meet([first, *others])
    assert first.failure() is None


def test_a_host_speaks_for_itself_alone_and_on_one_line(start: Callable[..., Peers]):
    peers = [start(index) for index in range(3)]
    meet(peers)
    reason = "ValueError: a\nerror: forged\x1b[2J" + "x" * 3000
    message = {"host": HOSTS[2], "event": "failed", "reason": reason}
    peers[1]._connections[HOSTS[0]].sendall(json.dumps(message).encode() + b"\n")
    for one in (peers[0], peers[2]):
        failure = one.failure(PATIENCE)
        assert failure is not None
        assert failure.host == HOSTS[1]
        assert failure.reason.startswith("ValueError: a\\nerror: forged\\x1b[2Jxxx")
        assert len(failure.reason) <= 500


def test_the_key_is_of_what_the_hosts_of_one_job_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRAINING_JOB_NAME", raising=False)
    first, second = (Cluster(host, HOSTS, interface) for host, interface in ((HOSTS[0], "eth0"), (HOSTS[1], "eth1")))
    key = shared_key(first, {"epochs": "3", "lr": "0.1"})
    assert key == shared_key(second, {"lr": "0.1", "epochs": "3"})
    assert key != shared_key(first, {"epochs": "4", "lr": "0.1"})
    assert key != shared_key(Cluster(HOSTS[0], HOSTS[:2]), {"epochs": "3", "lr": "0.1"})
    monkeypatch.setenv("TRAINING_JOB_NAME", "pets-1")
    assert key != shared_key(first, {"epochs": "3", "lr": "0.1"})


def test_a_single_host_opens_no_port():
    peers = Peers(Cluster(), lambda _failure: None, key=b"")
    peers.start()
    assert peers._listener is None
    peers.report("x")
