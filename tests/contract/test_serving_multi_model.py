"""A multi-model endpoint, as SageMaker drives one: load, list, describe, invoke, unload."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.contract.conftest import Endpoint, Job
from tests.contract.serving import memory, processes
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

MANY = 20
MEMORY = {"mem_limit": "1g", "memswap_limit": "1g"}
ROOM_MB = "110"

SCRIPTS = {
    "scripted": "def model_fn(d): return lambda data: data.upper()\ndef input_fn(data, kind): return data.decode()\n",
    "hungry": "def model_fn(d): return b'x' * 3_000_000_000\ndef predict_fn(data, model): return 1\n",
    "rude": "import sys\nsys.exit('not today')\n",
}


@pytest.fixture(scope="module")
def store(pets_job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/opt/ml/models: twenty folders of one model, and one that is broken."""
    root = tmp_path_factory.mktemp("models")
    for index in range(MANY):
        folder = root / f"m{index:02}" / "model"
        folder.parent.mkdir()
        shutil.copytree(pets_job.model, folder, copy_function=os.link)
    (root / "broken" / "model").mkdir(parents=True)
    for name, script in SCRIPTS.items():
        (root / name / "model" / "code").mkdir(parents=True)
        (root / name / "model" / "code" / "inference.py").write_text(script)
    root.chmod(0o755)
    return root


@pytest.fixture(scope="module")
def multi(start_endpoint, store: Path) -> Endpoint:
    return start_endpoint(
        None,
        environment={"SAGEMAKER_MULTI_MODEL": "true", "FASTAI_SAGEMAKER_MODEL_MEMORY_MB": ROOM_MB},
        volumes={str(store): {"bind": "/opt/ml/models", "mode": "ro"}},
        **MEMORY,
    )


def load(endpoint: Endpoint, name: str, url: str | None = None) -> requests.Response:
    body = {"model_name": name, "url": url or f"/opt/ml/models/{name}/model"}
    return requests.post(f"{endpoint.url}/models", json=body, timeout=120)


def unload(endpoint: Endpoint, name: str) -> requests.Response:
    return requests.delete(f"{endpoint.url}/models/{name}", timeout=PATIENCE)


def invoke(endpoint: Endpoint, name: str, body: bytes) -> requests.Response:
    headers = {"Content-Type": "image/jpeg", "X-Amzn-SageMaker-Target-Model": f"{name}.tar.gz"}
    return requests.post(f"{endpoint.url}/models/{name}/invoke", data=body, headers=headers, timeout=PATIENCE)


def names(endpoint: Endpoint, **query: str) -> tuple[list[str], str | None]:
    content = requests.get(f"{endpoint.url}/models", params=query, timeout=PATIENCE).json()
    return [model["modelName"] for model in content["models"]], content.get("nextPageToken")


def test_one_model_after_the_other(multi: Endpoint, pets: Path):
    body = (pets / "Bengal_101.jpg").read_bytes()
    assert multi.ping() == 200
    assert names(multi) == ([], None)
    assert invoke(multi, "m00", body).status_code == 404
    assert load(multi, "m00").status_code == 200
    assert load(multi, "m00").status_code == 409
    assert load(multi, "m01").status_code == 200
    assert invoke(multi, "m00", body).json()["class"] == "Bengal"
    assert invoke(multi, "m01", body).json()["class"] == "Bengal"
    assert names(multi) == (["m00", "m01"], None)
    assert names(multi, limit="1") == (["m00"], "1")
    assert names(multi, limit="1", next_page_token="1") == (["m01"], None)
    one = requests.get(f"{multi.url}/models/m00", timeout=PATIENCE)
    assert one.json() == {"modelName": "m00", "modelUrl": "/opt/ml/models/m00/model"}
    assert requests.get(f"{multi.url}/models/m07", timeout=PATIENCE).status_code == 404
    assert requests.post(f"{multi.url}/invocations", data=body, timeout=PATIENCE).status_code == 404
    assert unload(multi, "m00").status_code == 200
    assert unload(multi, "m00").status_code == 404
    assert invoke(multi, "m00", body).status_code == 404
    assert invoke(multi, "m01", body).json()["class"] == "Bengal"
    assert unload(multi, "m01").status_code == 200


def test_twenty_models_under_a_memory_limit(multi: Endpoint, pets: Path):
    body = (pets / "Bengal_101.jpg").read_bytes()
    before = memory(multi, "Pss:")
    loaded: list[str] = []
    refused = 0
    for index in range(MANY):
        name = f"m{index:02}"
        answer = load(multi, name)
        while answer.status_code == 507:  # as SageMaker does: unload the oldest, try again
            refused += 1
            assert answer.json()["error"]["code"] == "out_of_memory"
            assert loaded, "not even one model fits"
            assert unload(multi, loaded.pop(0)).status_code == 200
            answer = load(multi, name)
        assert answer.status_code == 200, answer.text
        loaded.append(name)
        assert invoke(multi, name, body).json()["class"] == "Bengal"
        assert invoke(multi, loaded[0], body).json()["class"] == "Bengal"
    assert refused > 0, "the limit was never met"
    assert len(loaded) >= 3
    most = memory(multi, "Pss:")
    for name in loaded:
        assert unload(multi, name).status_code == 200
    found = processes(multi)
    assert (found["parent"], found["worker"]) == ([], [])
    # The front end's own heap may have grown, within its limit.
    after = memory(multi, "Pss:")
    assert after < before + 150e6
    assert most - after > len(loaded) * 80e6
    files = multi.container.exec_run(["sh", "-c", "ls -A /tmp/*"]).output.decode()
    assert "-stdout" not in files
    assert multi.ping() == 200


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("../etc", None),
        ("a/b", None),
        ("", None),
        (".hidden", None),
        ("a b", None),
        ("x" * 300, None),
        ("ok", "/etc"),
        ("ok", "/opt/ml/models/../../../etc"),
        ("ok", "http://127.0.0.1:1/model.mar"),
        ("ok", "s3://bucket/model.tar.gz"),
        ("ok", "file:///etc"),
        ("ok", "\0"),
    ],
)
def test_hostile_names_and_paths(multi: Endpoint, name: str, url: str | None):
    answer = load(multi, name, url or "/opt/ml/models/m00/model")
    assert answer.status_code == 400, answer.text
    assert "error" in answer.json()
    assert names(multi) == ([], None)


def test_bodies_that_are_no_request(multi: Endpoint):
    for body in (b"", b"{", b"[]", b'{"model_name": "a"}', b'{"model_name": 1, "url": {}}', b"\xff\xfe"):
        answer = requests.post(f"{multi.url}/models", data=body, timeout=PATIENCE)
        assert answer.status_code == 400, body
    for path in ("/models/%2e%2e", "/models/a%2Fb", "/models/$(id)"):
        assert requests.get(multi.url + path, timeout=PATIENCE).status_code in (400, 404)
    assert requests.put(f"{multi.url}/models/m00", timeout=PATIENCE).status_code == 405


def test_a_broken_model_is_refused_with_its_reason_and_the_others_live(multi: Endpoint, pets: Path):
    assert load(multi, "m02").status_code == 200
    answer = load(multi, "broken")
    assert answer.status_code == 500
    assert "no model.json" in answer.json()["error"]["message"]
    assert names(multi) == (["m02"], None)
    assert invoke(multi, "m02", (pets / "Bengal_101.jpg").read_bytes()).status_code == 200
    assert unload(multi, "m02").status_code == 200


def test_what_a_model_has_taken_is_answered_before_it_goes(multi: Endpoint, pets: Path):
    body = (pets / "Bengal_101.jpg").read_bytes()
    assert load(multi, "m03").status_code == 200
    statuses: list[int] = []

    def client() -> None:
        for _ in range(200):
            statuses.append(invoke(multi, "m03", body).status_code)
            if statuses[-1] == 404:
                return

    clients = [threading.Thread(target=client) for _ in range(6)]
    for thread in clients:
        thread.start()
    while len(statuses) < 30:
        time.sleep(0.01)
    assert unload(multi, "m03").status_code == 200
    for thread in clients:
        thread.join()
    assert set(statuses) == {200, 404}


def test_models_with_scripts_of_their_own(multi: Endpoint, pets: Path):
    assert load(multi, "scripted").status_code == 200
    assert load(multi, "m04").status_code == 200
    assert invoke(multi, "scripted", b"abc").json() == "ABC"
    assert invoke(multi, "m04", (pets / "Bengal_101.jpg").read_bytes()).json()["class"] == "Bengal"
    refused = load(multi, "rude")
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "load_failed")
    assert "not today" in refused.json()["error"]["message"]
    for name in ("scripted", "m04"):
        assert unload(multi, name).status_code == 200


def test_a_model_that_memory_is_too_short_for_is_507_and_the_others_live(multi: Endpoint, pets: Path):
    assert load(multi, "m05").status_code == 200
    refused = load(multi, "hungry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "out_of_memory")
    assert names(multi) == (["m05"], None)
    assert invoke(multi, "m05", (pets / "Bengal_101.jpg").read_bytes()).status_code == 200
    assert unload(multi, "m05").status_code == 200
    assert processes(multi)["worker"] == []
