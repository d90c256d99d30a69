"""SIGTERM at any moment: at the start, with more in the queue than can be done, with an upload that never ends."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.conftest import Endpoint, Job, start_training
from tests.contract.serving import direct, exit_code, kill, processes
from tests.contract.test_serving_crashes import SCRIPT, folder_with
from tests.engine import SERVING_IMAGE
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: Seconds after the start.
MOMENTS = [index * 1.5 / 19 for index in range(20)]


def test_an_endpoint_stops_at_any_moment_of_its_start(start_endpoint, pets_job: Job):
    codes = []
    for moment in MOMENTS:
        endpoint = start_endpoint(pets_job.model, wait=False)
        time.sleep(moment)
        endpoint.container.kill("SIGTERM")
        # What ignores it is never ended: nobody sends SIGKILL here.
        codes.append(exit_code(endpoint))
    assert codes == [0] * len(MOMENTS)


def test_a_job_stops_at_any_moment_of_its_start(engine, tmp_path: Path, pets: Path):
    codes = []
    for index, moment in enumerate(MOMENTS):
        running = start_training(engine, tmp_path / str(index), {"training": pets}, {"arch": "efficientnet_lite0"})
        time.sleep(moment)
        running.container.kill("SIGTERM")
        codes.append(running.wait(timeout=PATIENCE).exit_code)
    assert codes == [143] * len(MOMENTS)


def test_another_command_takes_signals_as_it_does_elsewhere(engine):
    # What the entry point blocks must not stay blocked in what it starts.
    container = engine.containers.run(SERVING_IMAGE, ["sh", "-c", "echo up; sleep 600"], detach=True)
    try:
        next(container.logs(stream=True))
        container.kill("SIGTERM")
        assert container.wait(timeout=PATIENCE)["StatusCode"] == 143
    finally:
        container.remove(force=True)


class Clients:
    """Requests sent at once, and their answers, or what became of them, in the order in which they came."""

    def __init__(self, endpoint: Endpoint, bodies: list[bytes]) -> None:
        self.url = direct(endpoint)
        self.answers: list[requests.Response | Exception] = []
        self.threads = [threading.Thread(target=self._post, args=(body,)) for body in bodies]
        for thread in self.threads:
            thread.start()

    def _post(self, body: bytes) -> None:
        answer: requests.Response | Exception
        try:
            answer = requests.post(
                f"{self.url}/invocations", data=body, headers={"Content-Type": "text/plain"}, timeout=PATIENCE
            )
        except requests.RequestException as error:
            answer = error
        self.answers.append(answer)

    def statuses(self) -> Counter[object]:
        for thread in self.threads:
            thread.join()
        return Counter(a.status_code if isinstance(a, requests.Response) else repr(a) for a in self.answers)


def _refusals(clients: Clients) -> list[requests.Response]:
    refused = [a for a in clients.answers if isinstance(a, requests.Response) and a.status_code == 503]
    assert all(answer.json()["error"]["code"] == "stopping" for answer in refused)
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    return refused


def test_what_can_not_be_done_before_the_end_is_refused_at_once(start_endpoint, tmp_path: Path):
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment=environment)
    assert Clients(endpoint, [b"3", b"3"]).statuses() == {200: 2}
    clients = Clients(endpoint, [b"3"] * 40)  # 60 s of work
    until(lambda: len(clients.answers) >= 2)
    endpoint.container.kill("SIGTERM")
    assert exit_code(endpoint) == 0
    statuses = clients.statuses()
    assert set(statuses) == {200, 503}, statuses
    refused = _refusals(clients)
    # Most of what is refused needs not wait for the end to hear so: others are answered after it.
    last = max(index for index, answer in enumerate(clients.answers) if answer not in refused)
    assert len([answer for answer in clients.answers[:last] if answer in refused]) > len(refused) / 2
    assert f"{len(refused)} requests could not be answered" in endpoint.log()


def test_a_request_that_outlasts_the_stop_is_refused(start_endpoint, tmp_path: Path):
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    clients = Clients(endpoint, [b"50", b"0", b"0"])
    address = urlsplit(direct(endpoint))
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as upload:
        upload.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n1"
        )
        until(lambda: "begin 50" in endpoint.log())
        endpoint.container.kill("SIGTERM")
        answer = b""
        while piece := upload.recv(65536):
            answer += piece
    assert exit_code(endpoint) == 0
    assert answer.startswith((b"HTTP/1.1 503", b"HTTP/1.1 408")), answer
    statuses = clients.statuses()
    assert statuses[503] >= 1, statuses
    assert set(statuses) <= {200, 503}, statuses
    _refusals(clients)
    assert "requests could not be answered" in endpoint.log()


def test_workers_killed_after_sigterm_cut_no_request(start_endpoint, tmp_path: Path):
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2", "FASTAI_SAGEMAKER_BATCH_SIZE": "8"}
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment=environment)
    clients = Clients(endpoint, [b"0.5"] * 16)
    until(lambda: clients.answers)
    workers = processes(endpoint)["worker"]
    endpoint.container.kill("SIGTERM")
    for pid in workers:
        kill(endpoint, pid)
    assert exit_code(endpoint) == 0
    statuses = clients.statuses()
    assert set(statuses) <= {200, 503}, statuses
    assert statuses[200] >= 12, statuses
