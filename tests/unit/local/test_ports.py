from __future__ import annotations

import socket
import threading

from fastai_local import ports as subject


def test_waiting_ends_when_ping_is_200(server) -> None:
    handler, port = server
    assert subject.wait_until_ready(port, lambda: None, seconds=60) is None
    handler.ping = 503
    assert "not ready in 0 seconds" in str(subject.wait_until_ready(port, lambda: None, seconds=0.4))


def test_waiting_ends_at_once_when_the_server_does() -> None:
    assert (
        subject.wait_until_ready(subject.free_port(), lambda: "it ended with exit code 3")
        == "it ended with exit code 3"
    )


def test_ping_that_hangs_up_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert not subject.is_ready(listener.getsockname()[1])


def test_a_free_port_is_one_that_the_server_takes(server) -> None:
    _, taken = server
    port = subject.free_port()
    assert 20000 <= port < subject.HIGHEST_PORT
    assert subject.port_is_free(port)
    assert not subject.port_is_free(taken)
