"""Models that end their process while they load, and requests that wait for their turn or lose their worker."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.contract.conftest import Endpoint, Job
from tests.contract.serving import classes, direct, exit_code, kill, last_line, processes, some_pictures
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.engine, pytest.mark.pets]

SEGFAULT = (
    "import ctypes\ndef model_fn(model_dir):\n    print('reading weights', flush=True)\n    ctypes.string_at(0)\n"
)
EXIT = "import os\ndef model_fn(model_dir):\n    print('giving up', flush=True)\n    os._exit(5)\n"
HUNGRY = "def model_fn(model_dir):\n    return b'x' * 3_000_000_000\ndef predict_fn(data, model):\n    return 1\n"
MEMORY_ERROR = "def model_fn(model_dir):\n    raise MemoryError\ndef predict_fn(data, model):\n    return 1\n"
#: Answers its process's id; takes as many seconds as the body says, ends its process, or waits for another process.
SCRIPT = """
import glob, os, time
def model_fn(model_dir): return None
def input_fn(data, kind): return data.decode()
def predict_fn(data, model):
    print("begin", data, flush=True)
    if data == "die": os._exit(9)
    if not data.startswith("meet"):
        time.sleep(float(data))
        return {"pid": os.getpid()}
    open(f"/tmp/{data}-{os.getpid()}", "w").close()
    end = time.monotonic() + 50
    while len(glob.glob(f"/tmp/{data}-*")) < 2 and time.monotonic() < end: time.sleep(0.01)
    return {"met": len(glob.glob(f"/tmp/{data}-*"))}
"""


def folder_with(tmp_path: Path, script: str) -> Path:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(script)
    tmp_path.chmod(0o755)
    return folder


def posts(endpoint: Endpoint, bodies: list[bytes], path: str = "/invocations") -> list[requests.Response]:
    """All at once; the answers in the order of the bodies."""
    url, answers = direct(endpoint), {}

    def post(index: int) -> None:
        answers[index] = requests.post(
            f"{url}{path}", data=bodies[index], headers={"Content-Type": "text/plain"}, timeout=PATIENCE
        )

    threads = [threading.Thread(target=post, args=(index,)) for index in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(bodies))]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (SEGFAULT, ["signal 11 (SIGSEGV)", "in model_fn"]),
        (EXIT, ["exit status 5", "giving up"]),
        (HUNGRY, ["signal 9 (SIGKILL)", "memory was used up", "500 MB"]),
        (MEMORY_ERROR, ["not enough memory to load the model"]),
    ],
)
def test_a_crash_while_loading_ends_the_container_with_its_reason(start_endpoint, tmp_path, script, words, workers):
    # The start's time-out is ten minutes: what ends it earlier is that the deaths are counted.
    endpoint = start_endpoint(
        folder_with(tmp_path, script),
        environment={"SAGEMAKER_MODEL_SERVER_WORKERS": workers},
        wait=False,
        mem_limit="500m",
        memswap_limit="500m",
    )
    assert exit_code(endpoint) == 1
    for word in words:
        assert word in last_line(endpoint)


def hungry_copy(model: Path, folder: Path) -> Path:
    """The same model, but its program fills 3 GB on the way to its answer; the folder is whole and verifies."""
    import openvino
    from openvino import opset13 as ops

    shutil.copytree(model, folder)
    program = openvino.Core().read_model(folder / "openvino" / "model.xml")
    picture = ops.convert(program.input(0), "f32")  # 600 KB
    copies = ops.tile(picture, np.array([5000, 1, 1, 1], dtype=np.int64))
    nothing = ops.multiply(ops.reduce_sum(copies, np.arange(4), keep_dims=False), np.float32(0))
    result = program.get_results()[0]
    result.input(0).replace_source_output(ops.add(result.input_value(0), nothing).output(0))
    for path in (folder / "openvino").iterdir():
        path.unlink()  # the model that was read is mapped from the file: not written over
    openvino.save_model(program, folder / "openvino" / "model.xml", compress_to_fp16=False)
    facts = json.loads((folder / "model.json").read_text())
    for name in ("openvino/model.xml", "openvino/model.bin"):
        content = (folder / name).read_bytes()
        facts["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "model.json").write_text(json.dumps(facts))
    folder.parent.chmod(0o755)
    return folder


def test_a_built_in_model_that_does_not_fit_ends_the_container(start_endpoint, pets_job: Job, tmp_path: Path):
    folder = hungry_copy(pets_job.model, tmp_path / "model")
    endpoint = start_endpoint(folder, wait=False, mem_limit="500m", memswap_limit="500m")
    assert exit_code(endpoint) == 1
    assert "the memory was used up (its limit is 500 MB)" in last_line(endpoint)


def test_memory_that_is_too_small_for_a_built_in_model_is_refused_at_once(start_endpoint, pets_job: Job):
    # It would come up after many minutes or never: its programs don't stay in memory, and are read again and again.
    endpoint = start_endpoint(pets_job.model, wait=False, mem_limit="140m", memswap_limit="140m")
    assert exit_code(endpoint) == 1
    assert last_line(endpoint) == (
        "error: the memory limit of 140 MB is too small to serve this model; give the container at least 220 MB"
    )


def test_a_small_script_needs_less(start_endpoint, tmp_path: Path):
    script = "def model_fn(model_dir): return 1\ndef predict_fn(data, model): return data\n"
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    endpoint = start_endpoint(
        folder_with(tmp_path, script), environment=environment, mem_limit="200m", memswap_limit="200m"
    )
    assert endpoint.invoke(b"[1]", "application/json").json() == [1]


def test_the_front_end_is_not_what_the_kernel_ends_for_want_of_memory(start_endpoint, pets_job: Job):
    """The kernel's choice when the workers are gone already: what has the highest score."""
    endpoint = start_endpoint(pets_job.model)
    command = ["sh", "-c", "for p in /proc/[0-9]*; do echo $(cat $p/comm $p/oom_score_adj); done"]

    def adjustments() -> list[tuple[str, int]]:
        rows = endpoint.container.exec_run(command, stderr=False).output.decode().split("\n")
        return sorted((name, int(number)) for name, number in (row.rsplit(" ", 1) for row in rows if row.strip()))

    found = adjustments()
    assert found.count(("cat", 450)) == 1
    assert found.count(("java", 0)) == 1
    assert ("python3", 500) in found
    first = endpoint.container.exec_run(["pidof", "cat"]).output
    kill(endpoint, int(first))
    until(lambda: endpoint.container.exec_run(["pidof", "cat"]).output.strip() not in (b"", first.strip()))
    until(lambda: adjustments() == found)
    assert endpoint.ping() == 200


def test_models_of_multi_model_server_s_own_are_refused(start_endpoint, pets_job: Job):
    endpoint = start_endpoint(pets_job.model, environment={"MMS_LOAD_MODELS": "all"}, wait=False)
    assert exit_code(endpoint) == 1
    assert "MMS_LOAD_MODELS is not obeyed" in last_line(endpoint)


def test_crashes_on_a_multi_model_endpoint(start_endpoint, pets_job: Job, tmp_path: Path):
    scripts = {"segfault": SEGFAULT, "exit": EXIT, "hungry": HUNGRY, "memory": MEMORY_ERROR}
    for name, script in scripts.items():
        folder_with(tmp_path / name, script)
    (tmp_path / "archive").mkdir()
    shutil.make_archive(str(tmp_path / "archive" / "model"), "zip", pets_job.model)
    tmp_path.chmod(0o755)
    endpoint = start_endpoint(
        None,
        environment={"SAGEMAKER_MULTI_MODEL": "true", "FASTAI_SAGEMAKER_MODEL_MEMORY_MB": "50"},
        volumes={str(tmp_path): {"bind": "/opt/ml/models", "mode": "ro"}},
        mem_limit="500m",
        memswap_limit="500m",
    )

    def load(name: str, url: str) -> tuple[int, str, str]:
        answer = requests.post(f"{endpoint.url}/models", json={"model_name": name, "url": url}, timeout=PATIENCE)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]

    expected = {
        "segfault": (500, "load_failed", "signal 11 (SIGSEGV)"),
        "exit": (500, "load_failed", "exit status 5"),
        "hungry": (507, "out_of_memory", "unload one"),
        "memory": (507, "out_of_memory", "unload one"),
    }
    for name, (status, code, words) in expected.items():
        found = load(name, f"/opt/ml/models/{name}/model")
        assert found[:2] == (status, code), found
        assert words in found[2]
    assert load("exit", "/opt/ml/models/exit/model")[2].endswith("giving up")
    # multi-model-server would unpack a file
    assert load("zip", "/opt/ml/models/archive/model.zip")[:2] == (400, "bad_url")
    assert load("none", "/opt/ml/models/none/model")[:2] == (404, "model_not_found")
    assert load("none", "/opt/ml/models/../../etc/none")[:2] == (400, "bad_url")
    assert endpoint.ping() == 200


def test_a_script_s_requests_have_each_their_own_time(start_endpoint, tmp_path: Path):
    endpoint = start_endpoint(
        folder_with(tmp_path, SCRIPT),
        environment={"SAGEMAKER_MODEL_SERVER_TIMEOUT": "4", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"},
    )
    workers = processes(endpoint)["worker"]
    answers = posts(endpoint, [b"1"] * 16)
    assert Counter(answer.status_code for answer in answers) == {200: 16}
    assert {answer.json()["pid"] for answer in answers} == set(workers), "one of the workers was ended, or idle"


def test_a_batch_of_a_script_has_the_time_of_all_its_requests(start_endpoint, tmp_path: Path):
    environment = {
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "4",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "FASTAI_SAGEMAKER_BATCH_SIZE": "8",
    }
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment=environment)
    answers = posts(endpoint, [b"1"] * 16)
    assert Counter(answer.status_code for answer in answers) == {200: 16}
    assert len({answer.json()["pid"] for answer in answers}) == 1


def test_two_requests_at_once_go_to_two_workers(start_endpoint, tmp_path: Path):
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2", "FASTAI_SAGEMAKER_BATCH_SIZE": "8"}
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment=environment)
    for index in range(20):
        # one that comes first makes its worker the one that has waited the longest
        assert posts(endpoint, [b"0"])[0].status_code == 200
        answers = posts(endpoint, [b"meet%d" % index] * 2)
        assert [answer.json() for answer in answers] == [{"met": 2}] * 2


def test_the_companions_of_a_request_that_ends_its_worker_are_answered(start_endpoint, tmp_path: Path):
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "FASTAI_SAGEMAKER_BATCH_SIZE": "8"}
    endpoint = start_endpoint(folder_with(tmp_path, SCRIPT), environment=environment)
    first = threading.Thread(target=posts, args=(endpoint, [b"5"]))
    first.start()
    until(lambda: "begin 5" in endpoint.log())  # the worker has one request; these wait and are one batch
    answers = posts(endpoint, [b"0", b"0", b"die", b"0", b"0"])
    first.join()
    assert [answer.status_code for answer in answers] == [200, 200, 503, 200, 200]
    assert answers[2].json()["error"]["code"] == "worker_lost"


def test_requests_of_killed_workers_are_answered(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model)
    pictures = some_pictures(pets, 16)
    expected = classes(endpoint, pictures)
    found: dict[str, requests.Response] = {}

    def post(name: str) -> None:
        found[name] = requests.post(
            f"{direct(endpoint)}/invocations",
            data=pictures[name],
            headers={"Content-Type": "image/jpeg", "Accept": "image/png"},
            timeout=PATIENCE,
        )

    threads = [threading.Thread(target=post, args=(name,)) for name in expected]
    for thread in threads:
        thread.start()
    time.sleep(1)
    for pid in processes(endpoint)["worker"]:
        kill(endpoint, pid)
    for thread in threads:
        thread.join()
    statuses = Counter(answer.status_code for answer in found.values())
    # Alone in its batch, a request may have been what ended the worker.
    assert statuses[503] <= 2, statuses
    assert statuses[200] == len(pictures) - statuses[503], statuses
