"""Hostile and clumsy requests, scripts and model folders, against real endpoints: one error each, and only its own."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from fastai_container.model_folder import load_verified
from tests.contract.conftest import SERVING_IMAGE, TRAINING_IMAGE, Endpoint, Job
from tests.contract.serving import direct, exit_code, last_line, processes
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: Answers as its body says; the client's Accept is what its answers have for a content type.
SCRIPT = """
class Odd(Exception):
    def __str__(self): raise RuntimeError("no words")
def error(status, message):
    failure = Exception(message)
    failure.status_code = status
    return failure
def model_fn(model_dir): return object()
def transform_fn(model, data, content_type, accept):
    if data == b"type": return "x", "text/plain\\r\\nX-Evil: 1\\r\\n\\r\\n<script>"
    if data == b"status": raise error(499, "odd")
    if data == b"large": raise Exception("x" * 50_000_000)
    if data == b"unspeakable": raise Odd()
    if data == b"answer": return b"x" * 100_000_000
    if data == b"dict": return {"a": 1}
    return "é"
"""


@pytest.fixture(scope="module")
def scripted(start_endpoint, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    folder = tmp_path_factory.mktemp("scripted")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(SCRIPT)
    folder.chmod(0o755)
    environment = {"FASTAI_SAGEMAKER_BATCH_SIZE": "8", "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    return start_endpoint(folder, environment=environment)


def raw(endpoint: Endpoint, headers: bytes, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request with ``headers`` as they are: status, headers and body; status 0 when nothing was answered."""
    address = urlsplit(direct(endpoint))
    with socket.create_connection((address.hostname, address.port), timeout=90) as connection:
        length = f"Host: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
        answer = b""
        with contextlib.suppress(ConnectionError):  # refused, and closed before the whole body was sent
            connection.sendall(b"POST /invocations HTTP/1.1\r\n" + length + headers + b"\r\n" + body)
            while part := connection.recv(1 << 20):
                answer += part
    if not answer:
        return 0, {}, b""
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    found = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    assert len(content) == int(found[b"content-length"]), answer[:500]
    return int(first.split()[1]), found, content


def every_byte(name: bytes) -> Iterator[bytes]:
    """Header lines with each byte alone, at the end of a good value, and within it."""
    good = {b"Accept": b"application/json", b"Content-Type": b"image/png"}.get(name, b"top_k=3")
    for number in range(256):
        byte = bytes([number])
        for value in (byte, good + b";" + byte, good[:5] + byte + good[5:]):
            yield name + b": " + value + b"\r\n"


@pytest.mark.parametrize("name", [b"Accept", b"Content-Type", b"X-Amzn-SageMaker-Custom-Attributes"])
def test_no_byte_of_a_header_ends_a_worker(scripted: Endpoint, endpoint: Endpoint, pets: Path, name: bytes):
    picture = (pets / "Bengal_101.jpg").read_bytes()
    for served, body in ((scripted, b"dict"), (endpoint, picture)):
        workers = processes(served)["worker"]

        def ask(line: bytes, served=served, body=body) -> tuple[bytes, int, bytes]:
            other = b"" if name == b"Content-Type" else b"Content-Type: image/jpeg\r\n"
            status, headers, _ = raw(served, line + other, body)
            return line, status, headers.get(b"content-type", b"")

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, every_byte(name)))
        assert len(answers) == 768
        # 0: bytes that no header may have are refused by the front end, perhaps while the body is being sent.
        bad = [answer for answer in answers if answer[1] not in (0, 200, 400, 406, 415)]
        assert not bad, bad[:5]
        assert sum(status == 200 for _, status, _ in answers) > 50
        assert all(kind.isascii() and b"\n" not in kind for _, _, kind in answers)
        assert processes(served)["worker"] == workers
    # What reaches the script is answered, in a type that the client named or in the default.
    if name == b"Accept":
        for accept in (b"application/json;\xe9", b"\xe9", b"*/*"):
            status, headers, answer = raw(scripted, b"Accept: " + accept + b"\r\n", b"dict")
            assert (status, headers[b"content-type"], answer) == (200, b"application/json", b'{"a": 1}')
        assert raw(scripted, b"Accept: text/plain;q=0.5, \xe9\r\n", b"")[1][b"content-type"] == b"text/plain"
        assert raw(scripted, b"Accept: text/plain\r\n", b"")[2] == "é".encode()


def test_a_scripts_content_type_with_line_ends_is_its_error(scripted: Endpoint):
    status, headers, body = raw(scripted, b"Content-Type: text/plain\r\n", b"type")
    assert (status, headers[b"content-type"]) == (500, b"application/json")
    assert b"x-evil" not in headers
    error = json.loads(body)["error"]
    assert error["code"] == "script_error"
    assert "content type" in error["message"]
    assert "printable ASCII" in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"status", 499, "script_error", "odd"),
        (b"large", 500, "script_error", "xxx"),
        (b"unspeakable", 500, "script_error", "Odd"),
        (b"answer", 507, "answer_too_large", "the model's answer has 100,000,000 bytes"),
    ],
)
def test_a_scripts_error_is_bounded_and_its_own(scripted: Endpoint, body: bytes, status: int, code: str, message: str):
    workers = processes(scripted)["worker"]
    bodies = [body if index == 5 else b"good" for index in range(24)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda one: scripted.invoke(one, "text/plain"), bodies))
    for one, answer in zip(bodies, answers, strict=True):
        if one == b"good":
            assert (answer.status_code, answer.content) == (200, "é".encode()), answer.text[:200]
        else:
            assert answer.status_code == status, answer.text[:200]
            assert answer.json()["error"]["code"] == code
            assert answer.json()["error"]["message"].startswith(message)
            assert len(answer.content) < 3000
    assert processes(scripted)["worker"] == workers
    assert max(len(text) for text in scripted.log().splitlines()) < 20_000


def ask(endpoint: Endpoint, body: bytes, content_type: str = "image/jpeg", **headers: str) -> requests.Response:
    return endpoint.invoke(body, content_type, **headers)


@pytest.mark.parametrize("value", ["0", "9" * 5000, "٣", "-1", "1.5"])
def test_a_wrong_top_k_names_the_right_range(endpoint: Endpoint, pets: Path, value: str):
    line = f"X-Amzn-SageMaker-Custom-Attributes: top_k={value}\r\nContent-Type: image/jpeg\r\n"
    status, _, body = raw(endpoint, line.encode(), (pets / "Bengal_101.jpg").read_bytes())
    assert status == 400
    assert json.loads(body)["error"]["message"].endswith("must be a whole number from 1 to 37")


@pytest.mark.parametrize("kind", ["binary/octet-stream", "image/pjpeg", "image/x-png", "image/*"])
def test_other_content_types_of_pictures(endpoint: Endpoint, pets: Path, kind: str):
    assert ask(endpoint, (pets / "Bengal_101.jpg").read_bytes(), kind).json()["class"] == "Bengal"


def test_a_portable_pixmap(endpoint: Endpoint, pets: Path, tmp_path: Path):
    with Image.open(pets / "Bengal_101.jpg") as image:
        image.convert("RGB").save(tmp_path / "a.ppm")
    assert ask(endpoint, (tmp_path / "a.ppm").read_bytes(), "image/x-portable-pixmap").json()["class"] == "Bengal"


def test_what_is_no_picture_is_told_what_it_seems_to_be(endpoint: Endpoint, pets: Path):
    packed = base64.b64encode((pets / "Bengal_101.jpg").read_bytes())
    for body, words in (
        (packed, "a JPEG in base64; send the picture's own bytes, not base64"),
        (b"data:image/jpeg;base64," + packed, "a data URI"),
        (json.dumps({"image": packed.decode()}).encode(), "JSON"),
        (b"<!doctype html>", "an HTML page"),
        (b"%PDF-1.7", "a PDF document"),
    ):
        answer = ask(endpoint, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_an_image")
        assert f"it seems to be {words}" in answer.json()["error"]["message"]


def test_a_header_of_thousands_of_semicolons(endpoint: Endpoint, pets: Path):
    accept = 'application/json; a="' + ";" * 30_000
    assert ask(endpoint, (pets / "Bengal_101.jpg").read_bytes(), Accept=accept).json()["class"] == "Bengal"


# Model folders.


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.unlink()  # it may be a hard link
    path.write_bytes(content)


def rewrite(folder: Path, **values: object) -> None:
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").unlink()
    (folder / "model.json").write_text(json.dumps(content | values, ensure_ascii=False), encoding="utf-8")


def unlist(folder: Path) -> None:
    files = json.loads((folder / "model.json").read_text(encoding="utf-8"))["files"]
    rewrite(folder, files={name: facts for name, facts in files.items() if not name.startswith("openvino/")})


def outside(folder: Path) -> None:
    rewrite(folder, files={"../../../../etc/passwd": {"bytes": 1, "sha256": "0" * 64}})


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "altered": (lambda folder: alter(folder / "openvino" / "model.bin"), "SHA-256 differs"),
    "graph": (lambda folder: alter(folder / "openvino" / "model.xml"), "SHA-256 differs"),
    "unlisted": (unlist, "doesn't list openvino/model.xml"),
    "outside": (outside, "outside the model folder"),
    "shorter": (lambda folder: rewrite(folder, vocab=["a", "b", "c"]), "37 outputs but model.json names 3 classes"),
    "longer": (
        lambda folder: rewrite(folder, vocab=[f"c{index}" for index in range(40)]),
        "37 outputs but model.json names 40 classes",
    ),
    "squish": (lambda folder: rewrite(folder, resize="squish"), "resize is 'squish'"),
    "nested": (lambda folder: (folder / "model.json").write_text("[" * 100_000), "nested deeper"),
    "facts": (lambda folder: rewrite(folder, files={"a": 5}), "size (bytes) and sha256 of 'a'"),
    "closed": (lambda folder: (folder / "openvino").chmod(0o700), "can't be read by user 10001"),
    "root": (lambda folder: folder.chmod(0o700), "can't be read by user 10001"),
    "private": (lambda folder: (folder / "model.json").chmod(0o600), "can't be read by user 10001"),
}


@pytest.fixture
def model(pets_job: Job, tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return Path(shutil.copytree(pets_job.model, tmp_path / "model"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_refused_at_the_start_with_one_sentence(start_endpoint, model: Path, name: str):
    damage, words = BROKEN[name]
    damage(model)
    endpoint = start_endpoint(model, wait=False)
    assert exit_code(endpoint) == 1
    assert last_line(endpoint).startswith("error: ")
    assert words in last_line(endpoint)
    assert "Traceback" not in endpoint.log()
    (model / "openvino").chmod(0o755)


@pytest.mark.parametrize("name", ["altered", "unlisted", "outside", "shorter"])
def test_nor_is_it_served_by_a_script_that_uses_our_model(start_endpoint, model: Path, name: str):
    damage, words = BROKEN[name]
    damage(model)
    (model / "code").mkdir()
    (model / "code" / "inference.py").write_text("def output_fn(prediction, accept): return '{}'\n")
    endpoint = start_endpoint(model, wait=False)
    assert exit_code(endpoint) == 1
    assert words in last_line(endpoint)


def test_a_multi_model_endpoint_loads_no_broken_model(start_endpoint, pets_job: Job, pets: Path, tmp_path: Path):
    tmp_path.chmod(0o755)
    for name in ("good", *BROKEN):
        (tmp_path / name).mkdir()
        shutil.copytree(pets_job.model, tmp_path / name / "model")
        if name in BROKEN:
            BROKEN[name][0](tmp_path / name / "model")
    mounts = {str(tmp_path): {"bind": "/opt/ml/models", "mode": "ro"}}
    endpoint = start_endpoint(None, environment={"SAGEMAKER_MULTI_MODEL": "1"}, volumes=mounts)

    def load(name: str) -> requests.Response:
        body = {"model_name": name, "url": f"/opt/ml/models/{name}/model"}
        return requests.post(f"{endpoint.url}/models", json=body, timeout=120)

    assert load("good").status_code == 200
    for name, (_, words) in BROKEN.items():
        answer = load(name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "load_failed"), (name, answer.text)
        assert words in answer.json()["error"]["message"]
    assert [one["modelName"] for one in requests.get(f"{endpoint.url}/models", timeout=PATIENCE).json()["models"]] == [
        "good"
    ]
    picture = (pets / "Bengal_101.jpg").read_bytes()
    sent = {"Content-Type": "image/jpeg"}
    answer = requests.post(f"{endpoint.url}/models/good/invoke", data=picture, headers=sent, timeout=PATIENCE)
    assert answer.json()["class"] == "Bengal"
    (tmp_path / "closed" / "model" / "openvino").chmod(0o755)


# Names in every script.

NAMES = [
    "柴犬",
    "고양이",
    "ねこ",
    "قطة صغيرة",
    "חתול",
    "แมวน้ำ",
    "बिल्ली",
    "кошка",
    "γάτα",
    "mèo ệ",
    "বিড়াল",
    "பூனை",
    "Pug, fawn",
]


def test_classes_of_every_script(start_endpoint, model: Path, pets: Path):
    breeds = load_verified(model).vocab
    names = [NAMES[index] if index < len(NAMES) else f"class {index}" for index in range(len(breeds))]
    rewrite(model, vocab=names)
    endpoint = start_endpoint(model)
    picture = (pets / "Bengal_101.jpg").read_bytes()
    expected = names[breeds.index("Bengal")]
    assert ask(endpoint, picture).json()["class"] == expected
    table = ask(endpoint, picture, Accept="text/csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.text.splitlines()[1].startswith(expected)
    assert ask(endpoint, picture, Accept="image/png").headers["content-type"] == "image/png"


#: Run in an image: each name as its two ways of drawing would show it, and whether right-to-left text is ordered.
LETTERS = """
import json, sys, importlib.util
from PIL import features
from fastai_serving.worker.text_drawing import pieces
shown = {"serving": ["".join(text for text, _ in pieces(name)) for name in json.loads(sys.argv[1])]}
if importlib.util.find_spec("matplotlib"):
    from fastai_training.reporting.charts import _SHAPES, _lettering
    shown["charts"] = [_lettering(name)[0] for name in json.loads(sys.argv[1])]
    assert _SHAPES
print(json.dumps([shown, features.check("raqm")]))
"""


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_the_images_have_fonts_for_them(engine, image: str):
    command = ["-c", LETTERS, json.dumps([*NAMES, "🐈"])]
    output = engine.containers.run(image, command, entrypoint="python3", remove=True, network_mode="none", stderr=False)
    shown, ordered = json.loads(output)
    assert ordered
    assert len(shown) == (2 if image == TRAINING_IMAGE else 1)
    for found in shown.values():
        assert found[:-1] == NAMES
    assert shown["serving"][-1] == r"\U0001f408"


def test_a_variable_that_is_not_used_is_named_in_the_log(start_endpoint, pets_job: Job):
    environment = {"FASTAI_SAGEMAKER_BATCHSIZE": "1", "MMS_JOB_QUEUE": "5", "MMS_MAX_REQUEST_SIZE": "9000"}
    endpoint = start_endpoint(pets_job.model, environment=environment | {"MMS_JOB_QUEUE_SIZE": "5"})
    assert "FASTAI_SAGEMAKER_BATCHSIZE is not used; did you mean FASTAI_SAGEMAKER_BATCH_SIZE?" in endpoint.log()
    assert "MMS_JOB_QUEUE is not used; did you mean MMS_JOB_QUEUE_SIZE?" in endpoint.log()
    assert "MMS_MAX_REQUEST_SIZE is not used; set SAGEMAKER_MAX_PAYLOAD_IN_MB" in endpoint.log()
    assert "MMS_JOB_QUEUE_SIZE is not used" not in endpoint.log()
