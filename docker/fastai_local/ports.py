"""Ports of this machine: which are free, and whether an endpoint on one is ready."""

from __future__ import annotations

import http.client
import random
import socket
import time
import urllib.request
from collections.abc import Callable

from fastai_local.errors import LocalError
from fastai_local.process import say

READY_SECONDS = 120
HIGHEST_PORT = 32766  # multi-model-server refuses those above
# Requests to localhost never go through the machine's proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed endpoint's last connections
        try:
            listener.bind(("127.0.0.1", port))
        except PermissionError:
            return True  # below 1024 only root may listen, which the engine is
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on, among those that multi-model-server takes."""
    lowest, highest = 20000, HIGHEST_PORT
    start = random.randrange(lowest, highest)  # noqa: S311 - no secret
    for port in (*range(start, highest), *range(lowest, start)):
        if port_is_free(port):
            return port
    raise LocalError(f"no port between {lowest} and {highest} is free: pass PORT=")


def is_ready(port: int) -> bool:
    try:
        with _opener.open(f"{address(port)}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):  # refused, reset, a status that is not 200, half an answer
        return False


def wait_until_ready(port: int, ended: Callable[[], str | None], seconds: float = READY_SECONDS) -> str | None:
    """Wait for /ping to answer 200. Return None, or the reason why it won't.

    ``ended`` returns a reason as soon as the server is gone.
    """
    start = time.monotonic()
    shown = 10.0
    while (elapsed := time.monotonic() - start) < seconds:
        if is_ready(port):
            return None
        reason = ended()
        if reason:
            return reason
        if elapsed > shown:
            say(f"serve: waiting for the model, {elapsed:.0f} s")
            shown += 10
        time.sleep(0.25)
    return f"it was not ready in {seconds:.0f} seconds"
