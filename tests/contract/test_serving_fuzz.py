"""Thousands of mutated pictures and headers: no answer of 500 or above, no crash, no growth of memory."""

from __future__ import annotations

import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Endpoint
from tests.contract.serving import direct, memory, processes
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

PICTURES = 4000
CLIENTS = 8
SEED = 20261122
TOKENS = [
    "image/jpeg", "image/png", "text/csv", "application/json", "*/*", "image/*", "q=0.5", "q=-1", "q=nan", "q=1e999",
    ";", ",", "=", '"', "charset=utf-8", "boundary=x", "multipart/form-data", "application/x-www-form-urlencoded",
    "\\", "/", "", " ",
]  # fmt: skip


def seeds(pets: Path) -> list[bytes]:
    """Small pictures in each format, so that thousands take seconds."""
    import io

    from PIL import Image

    found = []
    for path in sorted(pets.glob("*.jpg"))[:4]:
        image = Image.open(path).convert("RGB").resize((96, 80))
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000"):
            stream = io.BytesIO()
            image.save(stream, kind)
            found.append(stream.getvalue())
        stream = io.BytesIO()
        image.save(stream, "JPEG", progressive=True)
        found.append(stream.getvalue())
    return found


def mutated(body: bytes, chance: random.Random) -> bytes:
    data = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        where = chance.randrange(len(data)) if chance.random() < 0.5 else chance.randrange(min(64, len(data)))
        what = chance.randrange(5)
        if what == 0:
            data[where] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[where : where + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0")
            )
        elif what == 2 and len(data) > 16:
            del data[where : where + chance.randrange(1, 64)]
        elif what == 3:
            data[where:where] = chance.randbytes(chance.randrange(1, 32))
        else:
            del data[max(8, where) :]
        if not data:
            data = bytearray(b"\xff")
    return bytes(data)


def test_mutated_pictures(start_endpoint, pets_job, pets: Path):
    endpoint = start_endpoint(pets_job.model, mem_limit="1500m")
    workers = processes(endpoint)["worker"]
    chance = random.Random(SEED)
    found = seeds(pets)
    bodies = [mutated(chance.choice(found), chance) for _ in range(PICTURES)]
    statuses: Counter[int] = Counter()

    def send(part: list[bytes]) -> list[tuple[int, bytes]]:
        session = requests.Session()
        url, headers = f"{endpoint.url}/invocations", {"Content-Type": "image/jpeg"}
        bad = []
        for body in part:
            response = session.post(url, data=body, headers=headers, timeout=PATIENCE)
            statuses[response.status_code] += 1
            if response.status_code >= 500 or "Traceback" in response.text:
                bad.append((response.status_code, body[:64]))
        return bad

    sizes = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for quarter in range(4):
            part = bodies[quarter::4]
            bad = [
                item for found in pool.map(send, [part[client::CLIENTS] for client in range(CLIENTS)]) for item in found
            ]
            assert not bad, bad[:5]
            sizes.append(memory(endpoint, "Private", *workers))
    assert set(statuses) <= {200, 400}, statuses
    assert min(statuses.values()) > PICTURES // 20, statuses  # both sides of the border were met
    assert processes(endpoint)["worker"] == workers, "a worker was replaced"
    assert sizes[-1] < sizes[0] * 1.25 + 30e6, sizes


_header = st.one_of(
    st.lists(st.sampled_from(TOKENS), max_size=6).map("".join),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
)


class Connection:
    """One connection, made anew when the other side closes it."""

    def __init__(self, endpoint: Endpoint, body: bytes) -> None:
        self.address, self.body, self.socket = urlsplit(direct(endpoint)), body, None
        self.statuses: Counter[int] = Counter()

    def exchange(self, sent: bytes) -> int:
        if self.socket is None:
            self.socket = socket.create_connection((self.address.hostname, self.address.port), timeout=PATIENCE)
        self.socket.sendall(sent)
        stream = self.socket.makefile("rb")
        status, length, close = int(stream.readline().split()[1]), 0, False
        while (line := stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            close = close or line == b"connection: close"
        stream.read(length)
        if close:
            self.socket.close()
            self.socket = None
        self.statuses[status] += 1
        return status


def test_mutated_headers(start_endpoint, pets_job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    workers = processes(endpoint)["worker"]
    state = Connection(endpoint, seeds(pets)[0])

    @settings(
        max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(content_type=_header, accept=_header, attributes=_header, identity=_header)
    def hold(content_type: str, accept: str, attributes: str, identity: str) -> None:
        head = (
            "POST /invocations HTTP/1.1\r\nHost: a\r\n"
            f"Content-Type: {content_type}\r\nAccept: {accept}\r\nX-Amzn-SageMaker-Custom-Attributes: {attributes}\r\n"
            f"X-Amzn-RequestId: {identity}\r\nContent-Length: {len(state.body)}\r\n\r\n"
        )
        assert state.exchange(head.encode("latin-1") + state.body) < 500, head

    hold()
    assert len(state.statuses) >= 3, state.statuses
    assert processes(endpoint)["worker"] == workers
    for sent in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01",
        b"POST /invocations HTTP/9.9\r\n\r\n",
        b"\0" * 5000,
    ):
        with socket.create_connection((state.address.hostname, state.address.port), timeout=PATIENCE) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert b" 500 " not in connection.recv(4096)
    assert endpoint.ping() == 200
