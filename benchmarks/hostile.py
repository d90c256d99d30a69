"""What clumsy and hostile clients send: one function an action, each bounded in time, for `make bench-soak`.

An action opens its own connections, is done within about ``LONGEST`` seconds, and returns the statuses that it was
answered with; what it proves is told by the honest clients beside it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image

#: Seconds that an action may take; a server that holds on to a silent client for longer is left waiting.
LONGEST = 45
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")

Action = Callable[[int, bytes], list[int]]


@contextlib.contextmanager
def _connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST) as connection:
        yield connection


def _statuses(connection: socket.socket, wanted: int = 1) -> list[int]:
    """The statuses of so many answers, or of what came until the connection was closed or the time was over."""
    received, end = b"", time.monotonic() + LONGEST
    with contextlib.suppress(OSError):
        while len(_STATUS.findall(received)) < wanted and time.monotonic() < end:
            data = connection.recv(1 << 16)
            if not data:
                break
            received += data
    return [int(status) for status in _STATUS.findall(received)]


def _exchange(port: int, sent: bytes, wanted: int = 1) -> list[int]:
    with _connection(port) as connection, contextlib.suppress(OSError):
        connection.sendall(sent)
        return _statuses(connection, wanted)
    return []


def request(body: bytes, *, kind: str = "image/jpeg", path: str = "/invocations", extra: str = "") -> bytes:
    """``extra``: more header lines, each with its line end."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode("latin-1") + body


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


# Pictures.


@cache
def many_scans(side: int = 4000, scans: int = 200) -> bytes:
    """A progressive JPEG whose last scan is repeated: the decoder goes over the whole picture for each."""
    whole = _encoded(Image.new("L", (side, side), 128), "JPEG", quality=50, progressive=True)
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:-2] * scans + b"\xff\xd9"


@cache
def few_bytes_many_pixels(form: str = "WEBP", side: int = 10_000) -> bytes:
    options = {"lossless": True} if form == "WEBP" else {}
    return _encoded(Image.new("RGBA", (side, side), (10, 20, 30, 40)), form, **options)


@cache
def photograph(megabytes: float = 4.8) -> bytes:
    """An honest picture of a telephone's size in bytes."""
    side = int((megabytes * 1e6 / 0.47) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return _encoded(Image.fromarray(noise), "JPEG", quality=60)


def scans(port: int, _: bytes) -> list[int]:
    return _exchange(port, request(many_scans()))


def pixels(port: int, _: bytes) -> list[int]:
    form = random.choice(("WEBP", "PNG"))
    return _exchange(port, request(few_bytes_many_pixels(form), kind=f"image/{form.lower()}"))


def no_pictures(port: int, picture: bytes) -> list[int]:
    """On one connection: nothing, noise, a half, base64, gzip, HTML."""
    bodies = (b"", random.randbytes(3000), picture[: len(picture) // 2], base64.b64encode(picture), b"<html></html>")
    sent = [request(body) for body in bodies]
    sent.append(request(gzip.compress(picture), extra="Content-Encoding: gzip\r\n"))
    return [status for one in sent for status in _exchange(port, one)]


def photographs(port: int, _: bytes) -> list[int]:
    """Eight at once, on connections that stay."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connection(port)) for _ in range(8)]
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(request(photograph()))
        return [status for connection in connections for status in _statuses(connection)]


# HTTP.


def odd_headers(port: int, picture: bytes) -> list[int]:
    extras = (
        "Accept: application/json;\xe9\r\n",
        "Accept: " + ", ".join(["a/b;q=0.1"] * 900) + "\r\n",
        f"X-Amzn-SageMaker-Custom-Attributes: top_k={'9' * 5000}\r\n",
        "X-Amzn-SageMaker-Custom-Attributes: top_k=0\r\n",
        "Accept: video/mp4\r\n",
        f"X-Large: {'a' * 40_000}\r\n",
    )
    return [status for extra in extras for status in _exchange(port, request(picture, extra=extra))]


def smuggled(port: int, picture: bytes) -> list[int]:
    """Requests that two readers would end at different places."""
    inner = b"GET /execution-parameters HTTP/1.1\r\nHost: b\r\n\r\n"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture)
    begin = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n"
    sent = (
        begin + b"Expect: x\r\nContent-Length: %d\r\n\r\n%s" % (len(inner), inner),
        begin + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + inner,
        begin + b"Transfer-Encoding: xchunked\r\n\r\n" + chunked + inner,
        begin + b"Transfer-Encoding: chunked\r\n\r\n" + chunked.replace(b"\r\n", b"\n", 1) + inner,
        begin + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg",
    )
    return [status for one in sent for status in _exchange(port, one)]


def odd_methods(port: int, _: bytes) -> list[int]:
    lines = [f"{method} /ping" for method in ("HEAD", "PUT", "OPTIONS", "TRACE", "FOO")]
    lines += ["GET /models", "DELETE /models/model", "OPTIONS *"]
    return [status for line in lines for status in _exchange(port, f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())]


def single_byte_chunks(port: int, _: bytes) -> list[int]:
    head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    return _exchange(port, head + b"1\r\nx\r\n" * 500_000 + b"0\r\n\r\n")


def too_large(port: int, _: bytes) -> list[int]:
    return _exchange(port, request(bytes(7 * 2**20)))


# Connections.


def silent(port: int, _: bytes) -> list[int]:
    """Announces 6 MB, sends most of it, and waits to be sent away."""
    with _connection(port) as connection, contextlib.suppress(OSError):
        connection.sendall(request(bytes(6 * 2**20))[: -(2**16)])
        return _statuses(connection)
    return []


def drop_by_drop(port: int, picture: bytes) -> list[int]:
    """A byte a second, of the head or of the body."""
    sent = request(picture)
    with _connection(port) as connection, contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.sendall(sent[: random.choice((10, 300))])
        for index in range(LONGEST):
            connection.sendall(sent[300 + index : 301 + index])
            with contextlib.suppress(TimeoutError):
                return [int(status) for status in _STATUS.findall(connection.recv(4096))]
    return []


def gone(port: int, picture: bytes) -> list[int]:
    """Goes away at any place, by a reset now and then."""
    sent = request(picture) * 3
    with _connection(port) as connection, contextlib.suppress(OSError):
        if random.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(sent[: random.randrange(1, len(sent))])
    return []


def never_reads(port: int, picture: bytes) -> list[int]:
    with _connection(port) as connection, contextlib.suppress(OSError):
        connection.settimeout(5)
        connection.sendall(request(picture, extra="Accept: image/png\r\n") * 4)
        time.sleep(5)
    return []


ACTIONS: tuple[Action, ...] = (
    scans,
    pixels,
    no_pictures,
    photographs,
    odd_headers,
    smuggled,
    odd_methods,
    single_byte_chunks,
    too_large,
    silent,
    drop_by_drop,
    gone,
    never_reads,
)
