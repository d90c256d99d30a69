"""What an endpoint answers: formats, errors, pictures of every kind, batches; the observed defects, done here."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image

from tests.contract.conftest import Endpoint
from tests.contract.serving import classes, direct, memory, some_pictures
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

BREEDS = ("Abyssinian_1.jpg", "Bengal_101.jpg", "american_bulldog_100.jpg", "pug_1", "samoyed_1")


def post(endpoint: Endpoint, body, content_type: str | None = "image/jpeg", **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        sent["Content-Type"] = content_type
    return requests.post(f"{endpoint.url}/invocations", data=body, headers=sent, timeout=PATIENCE)


def assert_error(response: requests.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert response.json()["error"]["code"] == code
    for secret in ("Traceback", "/opt/", "/tmp/", ".py", "com.amazonaws"):
        assert secret not in response.text


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def bengal(pets: Path) -> bytes:
    return (pets / "Bengal_101.jpg").read_bytes()


@pytest.mark.parametrize(
    "content_type", ["IMAGE/JPEG", "image/jpeg; charset=utf-8", "application/octet-stream", "image/png"]
)
def test_content_types_of_pictures(endpoint: Endpoint, bengal: bytes, content_type: str):
    assert post(endpoint, bengal, content_type).json()["class"] == "Bengal"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/x-npy",
        "text/plain",
        "nonsense",
        None,
        "multipart/form-data",
        "multipart/form-data; boundary=",
    ],
)
def test_other_content_types_are_415(endpoint: Endpoint, bengal: bytes, content_type: str | None):
    assert_error(post(endpoint, bengal, content_type), 415, "unsupported_media_type")


def test_a_pickled_array_is_not_loaded(endpoint: Endpoint):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert_error(post(endpoint, stream.getvalue(), "application/x-npy"), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;q=0.9", "application/json"),
        ("*/*", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("text/html, application/jsonlines;q=0.8, */*;q=0.1", "application/jsonlines"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("image/*", "image/png"),
        ("application/json;q=0, text/csv;q=0.1", "text/csv; charset=utf-8"),
    ],
)
def test_accept(endpoint: Endpoint, bengal: bytes, accept: str, kind: str):
    response = post(endpoint, bengal, Accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == kind


@pytest.mark.parametrize("accept", ["application/pdf", "application/json;q=0", "image/jpeg"])
def test_unacceptable_accept_is_406(endpoint: Endpoint, bengal: bytes, accept: str):
    assert_error(post(endpoint, bengal, Accept=accept), 406, "not_acceptable")


def test_top_k(endpoint: Endpoint, bengal: bytes):
    answer = post(endpoint, bengal, X_Amzn_SageMaker_Custom_Attributes="trace=1, top_k=3").json()
    assert len(answer["predictions"]) == 3
    rows = post(endpoint, bengal, X_Amzn_SageMaker_Custom_Attributes="top_k=2", Accept="text/csv").text.splitlines()
    assert rows[0] == "class,confidence"
    assert len(rows) == 3
    for wrong in ("top_k=0", "top_k=many", "top_k=-1", "top_k=²"):
        response = post(endpoint, bengal, X_Amzn_SageMaker_Custom_Attributes=wrong.encode("utf-8"))
        assert_error(response, 400, "bad_custom_attribute")


def test_bad_bodies_are_400(endpoint: Endpoint, bengal: bytes):
    assert_error(post(endpoint, b"not a picture"), 400, "not_an_image")
    assert_error(post(endpoint, b""), 400, "empty_body")
    assert_error(post(endpoint, bengal[: len(bengal) // 2]), 400, "truncated")


def test_too_many_pixels_are_refused_from_the_header(endpoint: Endpoint):
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 200_000
    before = memory(endpoint, "Pss:")
    assert_error(post(endpoint, bomb, "image/png"), 400, "too_many_pixels")
    assert memory(endpoint, "Pss:") - before < 30 * 2**20  # its pixels are 400 MB


def test_seven_megabytes_are_413_with_a_body_on_a_connection_that_lives(endpoint: Endpoint, bengal: bytes):
    session = requests.Session()
    url, headers = f"{endpoint.url}/invocations", {"Content-Type": "image/jpeg"}
    for body in (b"x" * 7_000_000, (b"y" * 100_000 for _ in range(70))):  # with its length, and in chunks
        assert_error(session.post(url, data=body, headers=headers, timeout=PATIENCE), 413, "too_large")
        assert session.post(url, data=bengal, headers=headers, timeout=PATIENCE).json()["class"] == "Bengal"
    exactly = bengal + b"\0" * (6 * 1024 * 1024 - len(bengal))
    assert session.post(url, data=exactly, headers=headers, timeout=PATIENCE).json()["class"] == "Bengal"


def raw(endpoint: Endpoint, sent: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """Status and body of the answers to bytes sent as they are."""
    address = urlsplit(direct(endpoint))
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        stream = connection.makefile("rb")
        found = []
        for _ in range(answers):
            status = int(stream.readline().split()[1])
            length = 0
            while (line := stream.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            found.append((status, stream.read(length)))
        return found


def test_expect_continue_is_answered_before_the_body(endpoint: Endpoint):
    head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nExpect: 100-continue\r\n"
    status, body = raw(endpoint, head + b"Content-Length: 7000000\r\n\r\n")[0]
    assert status == 413
    assert json.loads(body)["error"]["code"] == "too_large"


def test_pipelined_requests_are_answered_in_their_order(endpoint: Endpoint, pets: Path):
    pictures = some_pictures(pets, 6)
    expected = classes(endpoint, pictures)
    sent = b""
    for body in pictures.values():
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        sent += head.encode() + body + b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = raw(endpoint, sent, answers=12)
    assert [status for status, _ in answers] == [200] * 12
    assert [json.loads(body)["class"] for _, body in answers[::2]] == list(expected.values())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/invocations", 405),
        ("POST", "/ping", 405),
        ("GET", "/", 404),
        ("GET", "/models", 404),
        ("POST", "/models?url=http://127.0.0.1:1/a.mar", 404),
        ("DELETE", "/models/model", 404),
        ("PUT", "/models/model?min_worker=0", 404),
        ("GET", "/api-description", 404),
        ("OPTIONS", "/predictions/model", 404),
        ("POST", "/model/predict", 404),
        ("GET", "/%2e%2e/etc/passwd", 404),
    ],
)
def test_nothing_else_is_reachable(endpoint: Endpoint, method: str, path: str, status: int):
    response = requests.request(method, endpoint.url + path, timeout=PATIENCE)
    assert response.status_code == status
    assert "error" in response.json()


def test_execution_parameters(endpoint: Endpoint):
    answer = requests.get(f"{endpoint.url}/execution-parameters", timeout=PATIENCE).json()
    assert answer["BatchStrategy"] == "SingleRecord"
    assert answer["MaxPayloadInMB"] == 6
    assert answer["MaxConcurrentTransforms"] >= 2


def same(endpoint: Endpoint, body: bytes, expected: dict, tolerance: float) -> None:
    answer = post(endpoint, body, "application/octet-stream").json()
    assert answer["class"] == expected["class"]
    assert answer["confidence"] == pytest.approx(expected["confidence"], abs=tolerance)


def test_kinds_of_pictures_are_seen_alike(endpoint: Endpoint, pets: Path):
    image = Image.open(pets / "Bengal_101.jpg").convert("RGB").resize((320, 320))
    expected = post(endpoint, encoded(image, "PNG"), "image/png").json()
    assert expected["class"] == "Bengal"
    for kind, options in (("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {}), ("PPM", {})):
        same(endpoint, encoded(image, kind, **options), expected, 0.001)
    same(endpoint, encoded(image, "JPEG", quality=97), expected, 0.1)
    same(endpoint, encoded(image.convert("CMYK"), "JPEG", quality=97), expected, 0.15)
    same(endpoint, encoded(image.quantize(256), "PNG"), expected, 0.2)
    rgba = image.convert("RGBA")
    same(endpoint, encoded(rgba, "PNG"), expected, 0.001)
    grey = image.convert("L")
    in_grey = post(endpoint, encoded(grey, "PNG"), "image/png").json()
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    same(endpoint, encoded(sixteen, "PNG"), in_grey, 0.01)
    same(endpoint, encoded(grey.convert("LA"), "PNG"), in_grey, 0.001)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_honoured(endpoint: Endpoint, pets: Path, orientation: int):
    upright = Image.open(pets / "Bengal_101.jpg").convert("RGB")
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(upright.transpose(turn), "PNG", exif=exif)
    same(endpoint, turned, post(endpoint, encoded(upright, "PNG")).json(), 0.001)


def test_the_answer_as_a_picture(endpoint: Endpoint, pets: Path, tmp_path: Path):
    for name in BREEDS:
        path = pets / name if name.endswith(".jpg") else next(iter(sorted(pets.glob(f"{name.split('_')[0]}_*.jpg"))))
        response = post(endpoint, path.read_bytes(), Accept="image/png")
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/png"
        (tmp_path / f"{path.stem}.png").write_bytes(response.content)
        answer = Image.open(io.BytesIO(response.content))
        assert answer.height == 448
        assert answer.width > 300 + 170
        pixels = np.asarray(answer.convert("RGB")).astype(int)[:, :-300]
        # Somewhere it is hot, and not everywhere.
        hot = (pixels[..., 0] - pixels[..., 2]) > 90
        assert 0.002 < hot.mean() < 0.6


def test_batches_give_the_answers_of_single_requests(endpoint: Endpoint, pets: Path):
    pictures = some_pictures(pets)
    alone = {name: endpoint.invoke(body).json() for name, body in pictures.items()}
    with ThreadPoolExecutor(24) as pool:
        for _ in range(3):
            answers = dict(
                zip(pictures, pool.map(lambda body: post(endpoint, body).json(), pictures.values()), strict=True)
            )
            for name, answer in answers.items():
                assert answer["class"] == alone[name]["class"]
                assert answer["confidence"] == pytest.approx(alone[name]["confidence"], abs=0.02)


def test_batches_are_formed_under_load(start_endpoint, pets_job, pets: Path):
    environment = {"SAGEMAKER_CONTAINER_LOG_LEVEL": "10", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    endpoint = start_endpoint(pets_job.model, environment=environment)
    pictures = list(some_pictures(pets).values())
    with ThreadPoolExecutor(16) as pool:
        assert all(
            response.status_code == 200 for response in pool.map(lambda body: post(endpoint, body), pictures * 2)
        )
    sizes = [int(size) for size in re.findall(r"batch of (\d+)", endpoint.log())]
    assert sum(sizes) == 2 * len(pictures)
    assert max(sizes) == 8
    endpoint.container.kill()


def test_one_bad_picture_in_a_batch_spoils_only_itself(endpoint: Endpoint, pets: Path):
    pictures = some_pictures(pets)
    expected = classes(endpoint, pictures)
    bodies = [*pictures.items(), ("bad", b"no picture"), ("empty", b"")] * 2
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda item: post(endpoint, item[1]), bodies))
    for (name, _), answer in zip(bodies, answers, strict=True):
        if name in expected:
            assert answer.json()["class"] == expected[name]
        else:
            assert answer.status_code == 400


def test_a_lone_request_does_not_wait_for_company(start_endpoint, pets_job, bengal: bytes):
    """With batches of 64 it is as fast as with batches of 1."""
    middle = {}
    for size in ("1", "64"):
        environment = {"FASTAI_SAGEMAKER_BATCH_SIZE": size, "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
        alone = start_endpoint(pets_job.model, environment=environment)
        times = []
        for _ in range(40):
            begin = time.perf_counter()
            assert alone.invoke(bengal).status_code == 200
            times.append(time.perf_counter() - begin)
        middle[size] = sorted(times)[len(times) // 4]
        alone.container.kill()
    # multi-model-server's default would add 100 ms.
    assert middle["64"] < middle["1"] * 1.6 + 0.01, middle


def test_request_ids_are_logged_and_pings_are_not(endpoint: Endpoint, bengal: bytes):
    response = endpoint.invoke(bengal, X_Amzn_RequestId="1234-abcd")
    assert response.headers["x-request-id"] == "1234-abcd"
    response = endpoint.invoke(bengal, X_Amzn_RequestId="bad id ${jndi:ldap://127.0.0.1/a}")
    assert "jndi" not in response.headers["x-request-id"]
    endpoint.ping()
    log = endpoint.log()
    assert "[1234-abcd] POST /invocations 200" in log
    assert "/ping" not in log
    assert "jndi" not in log
    assert "sun.reflect" not in log
