"""A server for what the benchmarks send."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

RIGHT, WRONG = {"class": "a"}, {"class": "b"}


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers class a, and every fourth time b; to an empty body 500."""
    count = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal count
            body = self.rfile.read(int(self.headers["Content-Length"]))
            count += 1
            answer = json.dumps(WRONG if count % 4 == 0 else RIGHT).encode()
            self.send_response(200 if body else 500)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
