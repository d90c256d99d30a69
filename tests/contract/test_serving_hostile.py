"""Every action of benchmarks/hostile.py beside honest clients: these get right answers, and no process ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks import hostile
from tests.contract.conftest import Job
from tests.contract.serving import Load, classes, exit_code, processes, some_pictures

pytestmark = [pytest.mark.engine, pytest.mark.pets]


def test_honest_clients_beside_every_hostile_action(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model, mem_limit="2g", memswap_limit="2g")
    pictures = some_pictures(pets, 12)
    expected = classes(endpoint, pictures)
    before = processes(endpoint)
    port = urlsplit(endpoint.url).port
    assert port is not None
    picture = next(iter(pictures.values()))
    with Load(endpoint.url, pictures, clients=2) as load, ThreadPoolExecutor(4) as pool:
        answered = dict(
            zip(
                (action.__name__ for action in hostile.ACTIONS),
                pool.map(lambda action: action(port, picture), hostile.ACTIONS),
                strict=True,
            )
        )
        load.wait_for_answers(8)
    assert not load.wrong(expected)
    assert set(load.statuses()) == {200}, (load.statuses(), endpoint.log()[-3000:])
    assert processes(endpoint) == before
    # A fault of the client's is never called one of the server's.
    assert not {status for statuses in answered.values() for status in statuses} & {500, 502, 504, 507}, answered
    assert set(answered["scans"] + answered["pixels"] + answered["no_pictures"]) <= {400, 415, 503}, answered
    assert answered["silent"] in ([408], [503]), answered
    endpoint.container.kill("SIGTERM")
    assert exit_code(endpoint) == 0
    assert "stopping now" not in endpoint.log()
