"""Pictures that unfold to much memory or much work: refused in time or decoded, and nobody else's request suffers."""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from fastai_container.cost import FIXED_BYTES
from tests.contract.conftest import Endpoint
from tests.contract.serving import Load, classes, processes, some_pictures
from tests.contract.test_bad_input import TINY, two_classes
from tests.hostile import encoded, packed_tiff, png, progressive, webp

pytestmark = pytest.mark.engine


def flat(mode: str, kind: str, **options: object) -> Callable[[int], bytes]:
    """A maker of a picture of side x side pixels that compresses to nearly nothing."""
    return lambda side: encoded(Image.new(mode, (side, side)), kind, **options)


#: Forms that take the most memory or time for each pixel, with the bytes that each takes.
UNFOLDING: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "WebP with alpha": (16, webp),
    "PNG of 16 bits with alpha": (8, lambda side: png(side, side, 16, 6, bytes([200]) * 8 * side)),
    "float TIFF": (8, flat("F", "TIFF", compression="tiff_adobe_deflate")),
}

#: Small files that kept a worker busy until it was killed.
BUSY: dict[str, Callable[[], bytes]] = {
    "many scans": lambda: progressive(9984, 400),
    "fewer scans of many pixels": lambda: progressive(9984, 20),
    "many scans of few pixels": lambda: progressive(64, 5000),
    "tiles that share their bytes": lambda: packed_tiff(4096, 16, b"\x80" * 1_000_000 + b"\x81\x05\x81\x06"),
}


@functools.cache
def photograph(width: int, height: int, **options: object) -> bytes:
    """A JPEG as large as a telephone's."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([(rows + columns) // 32 % 256, rows // 16 % 256, columns // 16 % 256], 2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


def ask(endpoint: Endpoint, body: bytes, accept: str = "application/json") -> requests.Response:
    headers = {"Content-Type": "image/jpeg", "Accept": accept}
    return requests.post(f"{endpoint.url}/invocations", data=body, headers=headers, timeout=600)


def error_of(response: requests.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


def fitting(endpoint: Endpoint) -> list[bytes]:
    """The largest picture of each form that is taken, by what the refusal of a larger one says."""
    status, code, message = error_of(ask(endpoint, webp(10_000)))
    assert (status, code) == (400, "too_many_pixels"), message
    there = re.search(r"; ([\d,]+) MB are there", message)
    assert there, message
    room = int(there[1].replace(",", "")) * 2**20 - FIXED_BYTES
    return [make(int((room / bytes_each) ** 0.5)) for bytes_each, make in UNFOLDING.values()]


@pytest.fixture(scope="module")
def companions(pets: Path) -> dict[str, bytes]:
    return some_pictures(pets, 6)


@pytest.fixture(scope="module", params=["512m", "1g", "2g"])
def limited(request, start_endpoint, pets_job, companions) -> Iterator[Endpoint]:
    """An endpoint with a memory limit whose honest clients are served all the while, rightly, by the same workers."""
    # What is asked here is whether they are answered, on however slow a machine.
    environment = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "600"}
    endpoint = start_endpoint(pets_job.model, mem_limit=request.param, environment=environment)
    expected = classes(endpoint, companions)
    workers = processes(endpoint)["worker"]
    with Load(endpoint.url, companions, clients=2) as load:
        yield endpoint
    assert set(load.statuses()) == {200}, load.statuses()
    assert len(load.results) > 10
    assert not load.wrong(expected)
    assert processes(endpoint)["worker"] == workers, endpoint.log()


@pytest.mark.pets
def test_no_accepted_picture_kills_a_worker(limited: Endpoint):
    bodies = fitting(limited)
    with ThreadPoolExecutor(len(bodies)) as clients:
        answers = list(clients.map(lambda body: ask(limited, body), bodies))
        answers += clients.map(lambda body: ask(limited, body, "image/png"), bodies[:2])
    assert [answer.status_code for answer in answers] == [200] * len(answers), [
        a.text[:200] for a in answers if not a.ok
    ]


@pytest.mark.pets
def test_honest_photographs_are_taken_at_every_limit(limited: Endpoint):
    for body in (
        photograph(4080, 3060, quality=90),
        photograph(4080, 3060, quality=80, progressive=True, subsampling=0),
        photograph(8160, 6120, quality=50),
    ):
        assert len(body) < 6_000_000
        for accept in ("application/json", "image/png"):
            assert ask(limited, body, accept).status_code == 200, accept


@pytest.mark.pets
def test_what_unfolds_or_keeps_busy_is_refused_and_its_companions_are_answered(limited: Endpoint):
    bodies = {name: make() for name, make in BUSY.items()} | {"46 bytes": webp(10_000), "beyond": webp(16_000)}
    with ThreadPoolExecutor(len(bodies)) as clients:
        for _ in range(2):
            answers = dict(zip(bodies, clients.map(lambda body: ask(limited, body), bodies.values()), strict=True))
            for name, answer in answers.items():
                status, code, message = error_of(answer)
                assert status == 400, (name, message)
                assert code == ("too_many_pixels" if name in ("46 bytes", "beyond") else "too_complex"), name
                assert message


@pytest.mark.pets
def test_damaged_pictures_leave_no_line_of_a_librarys_own(endpoint: Endpoint):
    body = encoded(Image.effect_noise((64, 64), 80), "TIFF", compression="jpeg")
    damaged = body.replace(b"\x5b\x01\x07\x00", b"\x5c\x01\x07\x00")
    assert damaged != body
    assert error_of(ask(endpoint, damaged))[:2] == (400, "truncated")
    assert "JPEGLib" not in endpoint.log()
    assert "uantization" not in endpoint.log()


def test_hostile_files_among_the_pictures_are_left_out_and_named(train, tmp_path):
    data = two_classes(tmp_path / "data", each=8)
    os.mkfifo(data / "red_90.jpg")
    (data / "red_91.jpg").symlink_to("/dev/zero")
    (data / "red_92.jpg").symlink_to("/dev/random")
    (data / "red_93.jpg").symlink_to("red_0.jpg")
    (data / "red_94.jpg").write_bytes(progressive(9984, 400))
    (data / "red_95.webp").write_bytes(webp(10_000))
    (data / "blue_96.tif").write_bytes(BUSY["tiles that share their bytes"]())
    (data / "blue_97.png").write_bytes(png(2, 2, 16, 0, bytes([0, 77, 15, 255])))
    for name, target in {"root": "/", "proc": "/proc", "up": ".", "circle": "circle", "channel": "/opt/ml"}.items():
        (data / name).symlink_to(target)
    job = train(tmp_path / "ml", {"training": data}, TINY, mem_limit="2g")
    assert job.exit_code == 0, job.log
    assert "channel training: 20 pictures of 2 classes" in job.log, "16 good ones, and 4 that only decoding finds out"
    assert "13 pictures left out" in job.log
    assert "training on" in job.log
    listed = (job.folder / "output" / "data" / "skipped.csv").read_text()
    for name, why in {
        "red_90.jpg": "a named pipe, not a file",
        "red_91.jpg": "a device, not a file",
        "red_92.jpg": "a device, not a file",
        "red_93.jpg": "the same file as red_0.jpg",
        "red_94.jpg": "more than 100 scans",
        "red_95.webp": "10000x10000 pixels, which take",
        "blue_96.tif": "more bytes than the file",
        "blue_97.png": "none is above 4095 of 65535",
        "root": "a link to /",
        "proc": "a link to /proc",
        "up": "which holds this channel's folder",
        "circle": "a link that leads nowhere",
        "channel": "which holds this channel's folder",
    }.items():
        line = next(line for line in listed.splitlines() if f",{name}," in line)
        assert why in line
