"""Know of each other: when one host of a job fails or dies, all others learn of it and why, instead of waiting for it.

Every host keeps one TCP connection to the first one, which passes on what it hears. A line is a JSON object; an empty
one is a sign of life. A connection that ends, or is silent, without a goodbye means that its host died.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastai_training.cluster import RENDEZVOUS_PORT, RESOLVE_SECONDS, Cluster

PORT = RENDEZVOUS_PORT + 1
#: Seconds between signs of life, and of silence after which a host counts as dead.
BEAT_SECONDS, SILENCE_SECONDS = 5.0, 30.0
_LONGEST_LINE = 8192


@dataclass(frozen=True)
class PeerFailure:
    """The first host that failed, and why."""

    host: str
    reason: str

    def __str__(self) -> str:
        return f"host {self.host} failed: {self.reason}"


class Peers:
    """This host's connections to the others. ``on_failure`` is called once, from another thread."""

    def __init__(
        self,
        cluster: Cluster,
        on_failure: Callable[[PeerFailure], None],
        *,
        port: int = PORT,
        beat: float = BEAT_SECONDS,
        silence: float = SILENCE_SECONDS,
        meet: float = RESOLVE_SECONDS,
    ) -> None:
        self.cluster, self.port = cluster, port
        self._on_failure, self._beat, self._silence, self._meet = on_failure, beat, silence, meet
        self._lock = threading.Lock()
        self._connections: dict[str, socket.socket] = {}
        self._gone: set[str] = set()  # hosts that said goodbye
        self._failure: PeerFailure | None = None
        self._failed = threading.Event()
        self._closing = threading.Event()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Begin to listen or to connect, in the background; does nothing on a single host. Raises OSError."""
        if len(self.cluster.hosts) == 1:
            return
        if self.cluster.current == self.cluster.first:
            self._listener = socket.create_server(("", self.port))
            self._spawn(self._accept)
            self._spawn(self._expect_all)
        else:
            self._spawn(self._connect)
        self._spawn(self._beats)

    def failure(self, wait: float = 0) -> PeerFailure | None:
        """The first other host's failure, after waiting up to ``wait`` seconds for one."""
        self._failed.wait(wait)
        return self._failure

    def stopped(self) -> list[str]:
        """The hosts that ended in order, without failing."""
        with self._lock:
            return sorted(self._gone)

    def report(self, reason: str | None) -> None:
        """Tell all others that this host failed of ``reason`` or (None) ended in order, then part from them."""
        message = {"host": self.cluster.current, "event": "ended" if reason is None else "failed", "reason": reason}
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            _send(connection, message)
        self._closing.set()
        for connection in connections:
            # What was sent still arrives; a plain close could reset the connection before it is read.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        if self._listener is not None:
            self._listener.close()

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._read, connection, None)

    def _expect_all(self) -> None:
        """On the first host: one that never comes is as bad as one that dies."""
        end = time.monotonic() + self._meet
        while time.monotonic() < end and not self._closing.wait(1):
            with self._lock:
                if len(self._connections) == len(self.cluster.hosts) - 1:
                    return
        if not self._closing.is_set():
            with self._lock:
                missing = [h for h in self.cluster.hosts[1:] if h not in self._connections and h not in self._gone]
            if missing:
                self._hear_failure(PeerFailure(missing[0], f"it did not come up within {self._meet / 60:.0f} minutes"))

    def _connect(self) -> None:
        end = time.monotonic() + self._meet
        while not self._closing.is_set():
            try:
                connection = socket.create_connection((self.cluster.first, self.port), timeout=10)
            except OSError:
                if time.monotonic() >= end:
                    reason = f"it could not be reached within {self._meet / 60:.0f} minutes"
                    self._hear_failure(PeerFailure(self.cluster.first, reason))
                    return
                self._closing.wait(1)
                continue
            _send(connection, {"host": self.cluster.current, "event": "hello"})
            self._read(connection, self.cluster.first)
            return

    def _beats(self) -> None:
        while not self._closing.wait(self._beat):
            with self._lock:
                connections = list(self._connections.values())
            for connection in connections:
                _send(connection, {})

    def _read(self, connection: socket.socket, host: str | None) -> None:
        """Listen to one connection until it ends; ``host`` is None until it says who it is."""
        connection.settimeout(self._silence)
        if host is not None:
            with self._lock:
                self._connections[host] = connection
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while line := lines.readline(_LONGEST_LINE):
                message = json.loads(line)
                if not isinstance(message, dict):
                    break
                sender, event = message.get("host"), message.get("event")
                if host is None:
                    if event != "hello" or sender not in self.cluster.hosts:
                        break
                    host = str(sender)
                    with self._lock:
                        self._connections[host] = connection
                elif event == "ended":
                    with self._lock:
                        self._gone.add(str(sender))
                    self._pass_on(message, but=host)
                elif event == "failed":
                    self._hear_failure(PeerFailure(str(sender), str(message.get("reason"))), heard_from=host)
        if host is None:  # a stranger
            connection.close()
        elif not self._closing.is_set():
            with self._lock:
                self._connections.pop(host, None)
                known = host in self._gone
            if not known:
                self._hear_failure(PeerFailure(host, "it died without a word (killed, or its machine went away)"), host)

    def _pass_on(self, message: dict[str, Any], but: str) -> None:
        with self._lock:
            others = [connection for host, connection in self._connections.items() if host != but]
        if self.cluster.current == self.cluster.first:
            for connection in others:
                _send(connection, message)

    def _hear_failure(self, failure: PeerFailure, heard_from: str = "") -> None:
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
        self._pass_on({"host": failure.host, "event": "failed", "reason": failure.reason}, but=heard_from)
        self._failed.set()
        self._on_failure(failure)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")
