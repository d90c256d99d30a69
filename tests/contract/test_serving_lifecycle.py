"""Start, health, failure and stop of a serving container, as SageMaker sees them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from fastai_container.resources import cpu_count
from tests.contract.conftest import Endpoint, Job
from tests.contract.serving import Load, classes, direct, exit_code, kill, last_line, processes, some_pictures
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.engine, pytest.mark.pets]

SLOW_SCRIPT = """
import time
def model_fn(model_dir):
    time.sleep(2)
    return lambda data: "ok"
def input_fn(data, content_type):
    print("begun", flush=True)
    time.sleep(float(data.decode() or 0))
    return data
"""


@pytest.fixture
def model(pets_job: Job, tmp_path: Path) -> Path:
    """A copy of the main job's model that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(pets_job.model, folder)
    return folder


def with_script(model: Path, text: str, name: str = "inference.py") -> Path:
    (model / "code").mkdir(exist_ok=True)
    (model / "code" / name).write_text(text)
    return model


def test_ping_is_503_with_a_reason_until_the_model_is_loaded(start_endpoint, model: Path):
    endpoint = start_endpoint(with_script(model, SLOW_SCRIPT), wait=False)
    seen: list[tuple[int, dict]] = []

    def ready() -> bool:
        with contextlib.suppress(requests.RequestException):
            response = requests.get(f"{endpoint.url}/ping", timeout=PATIENCE)
            seen.append((response.status_code, response.json()))
        return bool(seen) and seen[-1][0] == 200

    until(ready, endpoint.log)
    early = [content for status, content in seen if status == 503]
    assert early, "two seconds of loading, and never a 503"
    assert all(content["error"]["code"] == "loading" for content in early)
    assert "of 2 workers" in early[0]["error"]["message"] or "of 1 workers" in early[0]["error"]["message"]
    assert endpoint.invoke(b"0").status_code == 200


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def model_fn(model_dir):\n    raise RuntimeError('no such weights')", "RuntimeError: no such weights"),
        ("import nonsense_package", "imports nonsense_package, which is not installed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_model_that_fails_to_load_ends_the_container_with_the_reason(start_endpoint, model: Path, script, reason):
    # long before SAGEMAKER_STARTUP_TIMEOUT's 600 s
    endpoint = start_endpoint(with_script(model, script), wait=False)
    assert exit_code(endpoint) == 1
    assert reason in last_line(endpoint)


def test_a_damaged_program_ends_the_container(start_endpoint, model: Path):
    path = model / "openvino" / "model.xml"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    manifest = json.loads((model / "model.json").read_text())
    manifest["files"].pop("openvino/model.xml")
    (model / "model.json").write_text(json.dumps(manifest))
    endpoint = start_endpoint(model, wait=False)
    assert exit_code(endpoint) == 1
    assert "doesn't list openvino/model.xml" in last_line(endpoint)


def test_files_of_a_model_never_stand_in_for_modules(start_endpoint, model: Path, pets: Path):
    for name in ("json", "logging", "numpy", "mms", "fastai_serving", "sitecustomize", "utils"):
        (model / f"{name}.py").write_text(f"raise RuntimeError('the model's {name}.py was imported')")
    endpoint = start_endpoint(model)
    assert endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()["class"] == "Bengal"
    assert "was imported" not in endpoint.log()


def test_a_jvm_that_dies_at_start_ends_the_container_at_once(start_endpoint, pets_job: Job):
    endpoint = start_endpoint(
        pets_job.model, environment={"SAGEMAKER_MODEL_SERVER_VMARGS": "-XX:+NoSuchFlag"}, wait=False
    )
    assert exit_code(endpoint) == 1
    assert "NoSuchFlag" in endpoint.log()
    assert "exit status 1" in last_line(endpoint)


@pytest.mark.parametrize("victim", ["parent", "worker", "both"])
def test_killed_workers_and_parents_come_back(start_endpoint, pets_job: Job, pets: Path, victim: str):
    endpoint = start_endpoint(pets_job.model)
    pictures = some_pictures(pets)
    expected = classes(endpoint, pictures)
    with Load(endpoint.url, pictures, clients=8) as load:
        load.wait_for_answers(8)
        before = processes(endpoint)
        assert before["parent"]
        assert before["worker"]
        victims = before["parent"] if victim in ("parent", "both") else []
        victims += before["worker"] if victim in ("worker", "both") else []
        for pid in victims:
            kill(endpoint, pid)
        until(lambda: not set(victims) & {pid for pids in processes(endpoint).values() for pid in pids})
        load.wait_for_answers(40)  # they are answered again, under the load that was there all the while
    assert not load.wrong(expected)
    assert set(load.statuses()) <= {200, 503}, load.statuses()
    assert all("error" in result.answer for result in load.results if result.status == 503)
    whole = (1, len(before["worker"]))
    until(lambda: tuple(len(processes(endpoint)[kind]) for kind in ("parent", "worker")) == whole, endpoint.log)
    assert endpoint.ping() == 200


def test_a_killed_jvm_ends_the_container_and_every_process(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    pictures = some_pictures(pets, 8)
    expected = classes(endpoint, pictures)
    with Load(endpoint.url, pictures, clients=4) as load:
        load.wait_for_answers(4)
        kill(endpoint, processes(endpoint)["java"][0])
        assert exit_code(endpoint) != 0
    assert not load.wrong(expected)
    assert "SIGKILL" in last_line(endpoint)


def cpu_seconds(endpoint: Endpoint) -> float:
    return float(endpoint.container.stats(stream=False)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


def test_a_lone_request_has_every_core_and_an_idle_server_none(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    pictures = some_pictures(pets)
    expected = classes(endpoint, pictures)  # one after the other: alone
    if (cores := cpu_count()) > 1:
        found = processes(endpoint)
        assert len(found["worker"]) == cores
        count = "import os, sys; print(*(len(os.listdir(f'/proc/{pid}/task')) for pid in sys.argv[1:]))"
        ids = [str(pid) for pid in found["worker"]]
        threads = endpoint.container.exec_run(["python3", "-P", "-c", count, *ids]).output.decode().split()
        assert max(map(int, threads)) >= cores, threads
    for clients in (1, 2, 8, 1):  # alone and in company, by turns
        with Load(endpoint.url, pictures, clients=clients) as load:
            load.wait_for_answers(8 * clients)
        assert not load.wrong(expected)

    def is_idle() -> bool:
        begin, used = time.monotonic(), cpu_seconds(endpoint)
        time.sleep(2)
        return cpu_seconds(endpoint) - used < 0.2 * (time.monotonic() - begin)

    until(is_idle, lambda: "something spins")


def test_every_request_in_flight_is_answered_on_sigterm(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    pictures = some_pictures(pets)
    expected = classes(endpoint, pictures)
    with Load(direct(endpoint), pictures, clients=16) as load:
        load.wait_for_answers(32)
        sent = time.monotonic()
        endpoint.container.kill("SIGTERM")
        assert exit_code(endpoint) == 0
    # A connection made before the signal is served to its end, one made after it may be refused.
    accepted = [result for result in load.results if result.begin < sent or not result.first]
    assert len(accepted) > 30
    assert [result for result in accepted if result.status != 200] == []
    assert not load.wrong(expected)


def test_clients_that_went_away_hold_up_nothing(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    body = (pets / "Bengal_101.jpg").read_bytes()
    head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
    address = urlsplit(direct(endpoint))
    for sent in (
        b"POST /invo",
        head.encode(),
        head.encode() + body[:9000],
        head.encode() + body,
        (head.encode() + body) * 3,
    ):
        for _ in range(8):
            with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
                connection.sendall(sent)
    assert endpoint.invoke(body).json()["class"] == "Bengal"
    endpoint.container.kill("SIGTERM")
    assert exit_code(endpoint) == 0
    assert "stopping now" not in endpoint.log()  # nothing was waited for until the limit


def test_a_slow_request_is_answered_before_the_end(start_endpoint, model: Path):
    endpoint = start_endpoint(with_script(model, SLOW_SCRIPT))
    answers: list[requests.Response] = []
    client = threading.Thread(target=lambda: answers.append(endpoint.invoke(b"5")))
    client.start()
    until(lambda: "begun" in endpoint.log(), endpoint.log)
    endpoint.container.kill("SIGTERM")
    assert exit_code(endpoint) == 0
    client.join()
    assert answers[0].status_code == 200
    assert answers[0].headers["connection"] == "close"


def test_a_request_that_takes_too_long_is_504_and_the_next_is_answered(start_endpoint, model: Path):
    environment = {"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "2", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    endpoint = start_endpoint(with_script(model, SLOW_SCRIPT), environment=environment)
    response = endpoint.invoke(b"600")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout"
    until(lambda: endpoint.ping() == 200, endpoint.log)
    assert endpoint.invoke(b"0").status_code == 200


def test_a_full_queue_is_503_with_retry_after(start_endpoint, model: Path):
    environment = {
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "FASTAI_SAGEMAKER_QUEUE_SIZE": "2",
        "FASTAI_SAGEMAKER_BATCH_SIZE": "1",
    }
    endpoint = start_endpoint(with_script(model, SLOW_SCRIPT), environment=environment)
    answers: list[requests.Response] = []
    clients = [
        threading.Thread(
            target=lambda: answers.append(requests.post(f"{endpoint.url}/invocations", data=b"0.7", timeout=PATIENCE))
        )
        for _ in range(10)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) >= 5
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert all(answer.json()["error"]["code"] == "busy" for answer in refused)
    assert sum(answer.status_code == 200 for answer in answers) == len(answers) - len(refused)


@pytest.mark.parametrize("user", ["0:0", "65534:65534", "4242:100"])
def test_any_user_without_rights_and_without_a_writable_root(start_endpoint, pets_job: Job, pets: Path, user: str):
    endpoint = start_endpoint(pets_job.model, user=user, tmpfs={"/tmp": "noexec,nosuid,size=64m"})
    assert endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()["class"] == "Bengal"


def test_limits_of_the_cgroup_decide_workers_and_memory(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model, mem_limit="512m", nano_cpus=1_000_000_000)
    assert endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).status_code == 200
    found = processes(endpoint)
    assert len(found["worker"]) == 1
    command = endpoint.container.exec_run(["cat", f"/proc/{found['java'][0]}/cmdline"]).output.decode().split("\0")
    assert "-Xmx85m" in command
    assert "-XX:-UseContainerSupport" not in command


def test_a_request_that_memory_is_too_short_for_is_507_and_the_next_is_answered(start_endpoint, model: Path):
    script = "def model_fn(d): return lambda data: str(len(b'x' * int(data)))\ndef input_fn(data, kind): return data\n"
    endpoint = start_endpoint(with_script(model, script), mem_limit="500m", memswap_limit="500m", nano_cpus=10**9)
    response = endpoint.invoke(b"3000000000")
    assert response.status_code == 507
    assert response.json()["error"]["code"] == "out_of_memory"
    assert endpoint.invoke(b"1000").text == '"1000"'
    assert endpoint.ping() == 200


def test_credentials_do_not_reach_workers_without_a_script(start_endpoint, pets_job: Job):
    secret = {"AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/very-secret"}
    endpoint = start_endpoint(pets_job.model, environment={**secret, "KEPT": "yes"})
    for kind in ("java", "worker"):
        pid = processes(endpoint)[kind][0]
        environment = endpoint.container.exec_run(["cat", f"/proc/{pid}/environ"]).output
        assert b"very-secret" not in environment
        assert b"KEPT=yes" in environment


def test_settings_are_honoured(start_endpoint, pets_job: Job, pets: Path):
    environment = {
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "FASTAI_SAGEMAKER_LOG_FORMAT": "json",
        "SAGEMAKER_MODEL_SERVER_VMARGS": "-Dmine=1",
    }
    endpoint = start_endpoint(pets_job.model, environment=environment)
    response = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes(), X_Amzn_RequestId="abc-1")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["x-request-id"] == "abc-1"
    assert endpoint.invoke(b"x" * 1_100_000).status_code == 413
    found = processes(endpoint)
    assert len(found["worker"]) == 1
    assert b"-Dmine=1" in endpoint.container.exec_run(["cat", f"/proc/{found['java'][0]}/cmdline"]).output
    lines = [json.loads(line) for line in endpoint.log().splitlines()]
    assert any(line.get("request_id") == "abc-1" and "POST /invocations 200" in line["message"] for line in lines)
    assert not any("/ping" in line["message"] for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "many"),
        ("FASTAI_SAGEMAKER_BATCH_SIZE", "0"),
        ("SAGEMAKER_BIND_TO_PORT", "99999"),
    ],
)
def test_a_wrong_setting_is_named(start_endpoint, pets_job: Job, name: str, value: str):
    endpoint = start_endpoint(pets_job.model, environment={name: value}, wait=False)
    assert exit_code(endpoint) == 1
    assert name in last_line(endpoint)


def test_a_port_that_multi_model_server_would_refuse(engine, start_endpoint, pets_job: Job):
    endpoint = start_endpoint(pets_job.model, environment={"SAGEMAKER_BIND_TO_PORT": "40123"}, wait=False)
    url = direct(endpoint).replace("8080", "40123")

    def ready() -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{url}/ping", timeout=PATIENCE).status_code == 200
        return False

    until(ready, endpoint.log)


def test_a_restart_over_stale_state_works(start_endpoint, pets_job: Job):
    endpoint = start_endpoint(pets_job.model, read_only=False, tmpfs={})
    endpoint.container.kill("SIGKILL")  # nothing is cleaned up
    endpoint.container.start()
    endpoint.container.reload()
    endpoint.url = f"http://127.0.0.1:{endpoint.container.attrs['NetworkSettings']['Ports']['8080/tcp'][0]['HostPort']}"
    endpoint.wait_until_ready()
