"""An endpoint for tests, whose responses they set."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest


class Server(http.server.BaseHTTPRequestHandler):
    """An endpoint whose responses are set by the test; it notes what it was sent."""

    status = 200
    body = b'{"class": "pug",\n "confidence": 0.5}'
    ping = 200
    seen: tuple[str, str | None, bytes] | None = None

    def do_GET(self) -> None:
        self.send_response(type(self).ping)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen = (self.path, self.headers["Content-Type"], body)
        self.send_response(type(self).status)
        self.end_headers()
        self.wfile.write(type(self).body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Server], int]]:
    handler = type("Handler", (Server,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield handler, listener.server_address[1]
        listener.shutdown()
