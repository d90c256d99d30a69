from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from fastai_training.cluster import Cluster
from fastai_training.peers import PeerFailure, Peers
from tests.waiting import PATIENCE, until

#: All of them loopback addresses: hosts of one machine.
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def start() -> Iterator[Callable[..., Peers]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started: list[Peers] = []

    def one(index: int, **options: float) -> Peers:
        settings = {"beat": 0.1, "silence": 1.0, "meet": 5.0} | options
        peers = Peers(Cluster(HOSTS[index], HOSTS, None), lambda _failure: None, port=port, **settings)  # type: ignore[arg-type]
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
    peers = [start(0), start(1), start(2, beat=60)]
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


def test_one_that_never_comes(start: Callable[..., Peers]):
    peers = [start(0, meet=1.0), start(1)]
    for one in peers:
        failure = one.failure(PATIENCE)
        assert failure is not None
        assert failure.host == HOSTS[2]
        assert "did not come up" in failure.reason


def test_strangers_are_sent_away(start: Callable[..., Peers]):
    peers = [start(0), start(1), start(2)]
    meet(peers)
    for line in (b"GET / HTTP/1.1\r\n\r\n", b'{"event": "failed", "host": "127.0.0.2"}\n', b"[]\n", b"7" * 20_000):
        with socket.create_connection(("127.0.0.1", peers[0].port), timeout=PATIENCE) as stranger:
            stranger.sendall(line)
            stranger.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):  # closed before all of it was read
                assert stranger.recv(100) == b""
    assert peers[0].failure() is None


def test_a_single_host_opens_no_port():
    peers = Peers(Cluster(), lambda _failure: None)
    peers.start()
    assert peers._listener is None
    peers.report("x")
