"""Bad input gets a message that says what to do, an exit code, and for training the same sentence in failure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.conftest import Endpoint, Job
from tests.waiting import PATIENCE

pytestmark = pytest.mark.engine

#: Training from scratch on tiny pictures: what is tested here comes before or around the training itself.
TINY = {"arch": "resnet18", "pretrained": "false", "epochs": "1", "image_size": "32", "batch_size": "4", "workers": "0"}


def picture(path: Path, color: tuple[int, int, int] = (200, 30, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), color).save(path)


def two_classes(folder: Path, each: int = 6) -> Path:
    for number in range(each):
        picture(folder / f"red_{number}.jpg", (200, 10 * number, 30))
        picture(folder / f"blue_{number}.jpg", (30, 10 * number, 200))
    return folder


def failed(job: Job, *words: str) -> None:
    """The job failed, and log and failure file hold one sentence with all of ``words``; no traceback."""
    assert job.exit_code == 1, job.log
    assert job.failure is not None
    for word in words:
        assert word in job.failure, job.failure
    assert f"error: {job.failure}" in job.log
    assert "Traceback" not in job.log


def test_no_training_channel(train, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    failed(train(tmp_path / "ml", {"pictures": other}), "no channel named training", "pictures")


def test_empty_folder(train, tmp_path):
    (tmp_path / "data").mkdir()
    failed(train(tmp_path / "ml", {"training": tmp_path / "data"}), "no pictures", "it is empty")


def test_one_class(train, tmp_path):
    for number in range(3):
        picture(tmp_path / "data" / f"red_{number}.jpg")
    failed(train(tmp_path / "ml", {"training": tmp_path / "data"}), "only the class 'red'", "two classes")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"epoch": "3"}, ["'epoch'", "did you mean epochs?"]),
        ({"epochs": "three"}, ["epochs='three'", "whole number"]),
        ({"batch-size": "0"}, ["batch-size='0'", "from 2 to"]),
        ({"arch": "resnet43"}, ["resnet43", "did you mean resnet34"]),
        ({"label_from": "name"}, ["label_from='name'", "did you mean names?"]),
        ({"precision": "fp16"}, ["precision=fp16 needs a GPU"]),
        (
            {"arch": "vit_b_16", "image_size": "100", "pretrained": "false"},
            ["vit_b_16", "image_size=100", "indivisible", "set image_size=224"],
        ),
    ],
)
def test_hyperparameters(train, tmp_path, parameters, words):
    data = two_classes(tmp_path / "data")
    failed(train(tmp_path / "ml", {"training": data}, parameters), *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"file": "red_0.jpg", "label": ' + "[" * 10_000 + "]" * 10_000 + "}", ["labels.jsonl", "nested too deep"]),
        (
            '{"file": "red_0.jpg", "label": ["red", "big"]}',
            ["column label", "several labels", "task=multi"],
        ),
    ],
)
def test_manifests(train, tmp_path, content, words):
    data = two_classes(tmp_path / "data")
    (data / "labels.jsonl").write_text(content)
    failed(train(tmp_path / "ml", {"training": data}, {}), *words)


def test_a_network_for_one_size_is_trained_at_another_and_served(train, start_endpoint, tmp_path):
    data = two_classes(tmp_path / "data")
    job = train(tmp_path / "ml", {"training": data}, TINY | {"arch": "vit_tiny_patch16_224", "image_size": "64"})
    assert job.exit_code == 0, job.log
    response = start_endpoint(job.model).invoke((data / "red_0.jpg").read_bytes())
    assert response.status_code == 200, response.text
    assert {entry["class"] for entry in response.json()["predictions"]} == {"red", "blue"}


def test_pretrained_weights_that_are_nowhere_name_all_four_places(train, tmp_path):
    data = two_classes(tmp_path / "data")
    job = train(tmp_path / "ml", {"training": data}, {"arch": "resnet18"})
    failed(job, "channel named weights", "docker/weights", "package", "download", "pretrained=false")


def test_unreadable_pictures_are_named_counted_and_listed(train, tmp_path):
    data = two_classes(tmp_path / "data")
    (data / "red_90.jpg").write_bytes(b"no picture at all")
    whole = (data / "red_0.jpg").read_bytes()
    (data / "blue_91.jpg").write_bytes(whole[: len(whole) // 2])
    job = train(tmp_path / "ml", {"training": data}, TINY)
    assert job.exit_code == 0, job.log
    assert "2 pictures left out" in job.log
    listed = (job.folder / "output" / "data" / "skipped.csv").read_text()
    assert "red_90.jpg" in listed
    assert "blue_91.jpg" in listed


def test_strict_fails_on_the_first_unreadable_picture(train, tmp_path):
    data = two_classes(tmp_path / "data")
    (data / "red_90.jpg").write_bytes(b"no picture at all")
    failed(train(tmp_path / "ml", {"training": data}, TINY | {"strict": "true"}), "strict", "red_90.jpg")


def test_too_few_left(train, tmp_path):
    data = two_classes(tmp_path / "data", each=2)
    for number in range(10):
        (data / f"red_9{number}.jpg").write_bytes(b"no picture at all")
    failed(train(tmp_path / "ml", {"training": data}, TINY), "too few are left")


def refused(endpoint: Endpoint, *words: str) -> None:
    """The serving container ended with exit code 1, and its last line says why."""
    assert endpoint.container.wait(timeout=PATIENCE)["StatusCode"] == 1
    last = endpoint.log().strip().splitlines()[-1]
    assert last.startswith("error: "), endpoint.log()
    for word in words:
        assert word in last, last
    assert "Traceback" not in endpoint.log()


@pytest.fixture(scope="module")
def tiny_model(train, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    job = train(folder / "ml", {"training": two_classes(folder / "data")}, TINY)
    assert job.exit_code == 0, job.log
    return job.model


@pytest.fixture
def broken(tiny_model, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_no_model_mounted(start_endpoint):
    refused(start_endpoint(None, wait=False), "no model folder at /opt/ml/model")


def test_empty_model_folder(start_endpoint, tmp_path):
    tmp_path.chmod(0o755)
    refused(start_endpoint(tmp_path, wait=False), "no model.json", "it is empty")


def test_half_written_model(start_endpoint, broken):
    (broken / "model.json").unlink()
    (broken / ".partial-x").mkdir()
    refused(start_endpoint(broken, wait=False), "half-written", "train again")


def test_model_of_a_newer_version(start_endpoint, broken):
    content = json.loads((broken / "model.json").read_text())
    (broken / "model.json").write_text(json.dumps(content | {"format_version": 99}))
    refused(start_endpoint(broken, wait=False), "format version 99", "at least as new")


def test_missing_file(start_endpoint, broken):
    (broken / "openvino" / "model.bin").unlink()
    refused(start_endpoint(broken, wait=False), "openvino/model.bin is missing")


def test_damaged_file(start_endpoint, broken):
    path = broken / "openvino" / "model.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    refused(start_endpoint(broken, wait=False), "SHA-256 differs")


def test_wrong_setting(start_endpoint, tiny_model):
    endpoint = start_endpoint(tiny_model, environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "two"}, wait=False)
    refused(endpoint, "SAGEMAKER_MODEL_SERVER_WORKERS='two'", "whole number")


def test_port_in_use(engine, start_endpoint, tiny_model):
    first = start_endpoint(tiny_model)
    # A second container in the first one's network: port 8080 is taken there.
    second = engine.containers.run(
        first.container.image,
        "serve",
        detach=True,
        network_mode=f"container:{first.container.id}",
        volumes={str(tiny_model): {"bind": "/opt/ml/model", "mode": "ro"}},
    )
    try:
        assert second.wait(timeout=PATIENCE)["StatusCode"] == 1
        assert "can't listen on port 8080" in second.logs().decode()
    finally:
        second.remove(force=True)


def test_another_port_by_environment(engine, start_endpoint, tiny_model):
    endpoint = start_endpoint(tiny_model, environment={"SAGEMAKER_BIND_TO_PORT": "9123"}, wait=False)
    probe = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9123/ping').status)"
    for _ in range(60):
        code, output = endpoint.container.exec_run(["python3", "-c", probe])
        if code == 0:
            break
    assert output.decode().strip() == "200"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"hello", "text/plain", 415, "unsupported_media_type"),
        (b"hello", "image/jpeg", 400, "not_an_image"),
        (b"", "image/jpeg", 400, "empty_body"),
    ],
)
def test_requests(start_endpoint, tiny_model, shared_endpoint, body, content_type, status, code):
    response = shared_endpoint.invoke(body, content_type)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert "Traceback" not in response.text


@pytest.fixture(scope="module")
def shared_endpoint(start_endpoint, tiny_model) -> Endpoint:
    return start_endpoint(tiny_model)


def test_truncated_picture(shared_endpoint, tmp_path):
    picture(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    response = shared_endpoint.invoke(whole[: len(whole) // 2])
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "truncated"


def test_nothing_we_answer_with_is_acceptable(shared_endpoint, tmp_path):
    picture(tmp_path / "a.jpg")
    response = shared_endpoint.invoke((tmp_path / "a.jpg").read_bytes(), Accept="application/pdf")
    assert response.status_code == 406
    assert response.json()["error"]["code"] == "not_acceptable"
