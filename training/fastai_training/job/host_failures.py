"""Propagate a host's failure or death to the other hosts, which would wait for it otherwise.

Every host keeps one TCP connection to the first host, which passes on what it hears. Each line is a JSON object; an
empty object is a sign of life. A host counts as dead when its connection ends or stays silent without a goodbye.

A host that connects must first prove that it belongs to the job: it is sent a random challenge and returns the HMAC of
it, under a key derived from what only the job's hosts were told. That keeps out stray connections, other jobs, and
whoever finds the port open. It does not keep out anybody who can read the job's description, and nothing is encrypted.
So the hosts' network must be private.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastai_container.errors import printable
from fastai_container.json_file import JsonError, parse_json
from fastai_container.sagemaker import JOB_NAME_ENVS, RENDEZVOUS_PORT, RESOLVE_SECONDS
from fastai_training.job.hosts import Cluster

PORT = RENDEZVOUS_PORT + 1
#: Seconds between signs of life, and seconds of silence after which a host counts as dead.
BEAT_SECONDS, SILENCE_SECONDS = 5.0, 30.0
_LONGEST_LINE, _LONGEST_REASON = 8192, 500
#: Seconds that a new connection has to prove itself, and how many connections may be doing so at once.
_PROOF_SECONDS, _UNPROVED = 10.0, 64


def shared_key(cluster: Cluster, hyperparameters: Mapping[str, Any]) -> bytes:
    """Derive the key that all hosts of the job share, from the job's name, hosts and hyperparameters."""
    facts = [[os.environ.get(name, "") for name in JOB_NAME_ENVS], list(cluster.hosts), dict(hyperparameters)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).digest()


@dataclass(frozen=True)
class PeerFailure:
    """The first other host that failed, and why."""

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
        key: bytes,
        port: int = PORT,
        beat: float = BEAT_SECONDS,
        silence: float = SILENCE_SECONDS,
        meet: float = RESOLVE_SECONDS,
    ) -> None:
        self.cluster, self.port, self._key = cluster, port, key
        self._unproved = threading.Semaphore(_UNPROVED)
        self._introducing = threading.Lock()  # held while this host introduces itself to the first one
        self._farewell: dict[str, Any] | None = None
        self._on_failure, self._beat, self._silence, self._meet = on_failure, beat, silence, meet
        self._lock = threading.Lock()
        self._connections: dict[str, socket.socket] = {}
        self._gone: set[str] = set()  # hosts that said goodbye
        self._failure: PeerFailure | None = None
        self._failed = threading.Event()
        self._closing = threading.Event()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Listen or connect in the background; do nothing on a single host. Raise ``OSError`` if it can't listen."""
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
        """Return the first failure of another host, or None if there is none within ``wait`` seconds."""
        self._failed.wait(wait)
        return self._failure

    def stopped(self) -> list[str]:
        """Return the hosts that ended without a failure."""
        with self._lock:
            return sorted(self._gone)

    def report(self, reason: str | None) -> None:
        """Tell all others that this host failed for ``reason`` or ended well (None); then close the connections."""
        message = {"host": self.cluster.current, "event": "ended" if reason is None else "failed", "reason": reason}
        with self._lock:
            self._farewell = message  # for connections that are just being made
            connections = list(self._connections.values())
            self._closing.set()
        for connection in connections:
            _part(connection, message)
        if self._listener is not None:
            self._listener.close()
        if self._introducing.acquire(timeout=_PROOF_SECONDS):
            self._introducing.release()

    def _register(self, host: str, connection: socket.socket) -> None:
        """Send ``host`` all messages from now on; if this host has said goodbye meanwhile, send it that."""
        with self._lock:
            self._connections[host] = connection
            farewell = self._farewell
        if farewell is not None:
            _part(connection, farewell)

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._unproved.acquire(blocking=False):
                self._spawn(self._welcome, connection)
            else:
                connection.close()

    def _proof(self, challenge: str, host: str) -> str:
        return hmac.new(self._key, f"{challenge} {host}".encode(), hashlib.sha256).hexdigest()

    def _welcome(self, connection: socket.socket) -> None:
        """On the first host: listen to a connection that proves to be a host of this job, and close any other."""
        challenge, host = secrets.token_hex(16), ""
        try:
            connection.settimeout(_PROOF_SECONDS)
            _send(connection, {"challenge": challenge})
            with contextlib.suppress(OSError, JsonError):
                message = parse_json(_line_of(connection, _PROOF_SECONDS), "hello")
                if isinstance(message, dict) and message.get("host") in self.cluster.hosts:
                    right = self._proof(challenge, message["host"])
                    host = (
                        message["host"]
                        if hmac.compare_digest(right.encode(), str(message.get("proof")).encode())
                        else ""
                    )
        finally:
            self._unproved.release()
        if host:
            _send(connection, {"event": "welcome"})
            self._register(host, connection)
            self._read(connection, host)
        else:
            connection.close()

    def _expect_all(self) -> None:
        """On the first host: report a host that never connects as failed, like one that dies."""
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
                with self._introducing:
                    self._introduce(connection)
            except (OSError, JsonError) as error:
                if time.monotonic() >= end:
                    reason = f"it could not be reached within {self._meet / 60:.0f} minutes"
                    if str(error) == "sent away":
                        reason += " (it did not take this host for one of its job: have both the same hyperparameters?)"
                    self._hear_failure(PeerFailure(self.cluster.first, reason))
                    return
                self._closing.wait(1)
                continue
            self._read(connection, self.cluster.first)
            return

    def _introduce(self, connection: socket.socket) -> None:
        """Prove to the first host that this one is of its job. Raise ``OSError`` or ``JsonError`` when that fails."""
        connection.settimeout(_PROOF_SECONDS)
        message = parse_json(_line_of(connection), "challenge")
        if not isinstance(message, dict):
            raise ConnectionError("no host of ours")
        proof = self._proof(str(message.get("challenge")), self.cluster.current)
        _send(connection, {"host": self.cluster.current, "event": "hello", "proof": proof})
        if not _line_of(connection):
            raise ConnectionError("sent away")
        self._register(self.cluster.first, connection)

    def _beats(self) -> None:
        while not self._closing.wait(self._beat):
            with self._lock:
                connections = list(self._connections.values())
            for connection in connections:
                _send(connection, {})

    def _read(self, connection: socket.socket, host: str) -> None:
        """Listen to ``host`` until its connection ends."""
        connection.settimeout(self._silence)
        with contextlib.suppress(OSError, JsonError):
            while line := _line_of(connection):
                message = parse_json(line, "message")
                if not isinstance(message, dict):
                    break
                # Each host speaks for itself, except the first one, which also passes on messages of others.
                sender = str(message.get("host")) if host == self.cluster.first else host
                if sender not in self.cluster.hosts:
                    continue
                if message.get("event") == "ended":
                    with self._lock:
                        self._gone.add(sender)
                    self._pass_on(message, but=host)
                elif message.get("event") == "failed":
                    reason = printable(str(message.get("reason")))[:_LONGEST_REASON]
                    self._hear_failure(PeerFailure(sender, reason), heard_from=host)
        if not self._closing.is_set():
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


def _line_of(connection: socket.socket, seconds: float = math.inf) -> bytes:
    """Return the next line without its end, or ``b""`` if the connection ends or the line is too long or too slow.

    It is read byte by byte, so that what follows the line stays for the next call; lines are few and short. Raise
    ``OSError``.
    """
    line, end = bytearray(), time.monotonic() + seconds
    while len(line) < _LONGEST_LINE and time.monotonic() < end and (byte := connection.recv(1)):
        if byte == b"\n":
            return bytes(line)
        line += byte
    return b""


def _part(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a last message, and end only the sending: a plain close could reset the connection before it is read."""
    _send(connection, message)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")
