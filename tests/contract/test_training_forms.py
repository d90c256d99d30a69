"""The same pets in every form that is read: the same weights, bit for bit, and a model that is served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.conftest import Endpoint, Job
from tests.fixtures.forms import FORMS

BREEDS = ("Abyssinian", "Bengal", "american_bulldog")
EACH = 24
PARAMETERS = {
    "arch": "efficientnet_lite0",
    "epochs": "0",
    "freeze_epochs": "2",
    "image_size": "128",
    "batch_size": "16",
    "serving_precision": "fp32",
}


@pytest.fixture(scope="module")
def jobs(train: Callable[..., Job], pets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """A job for each form."""
    root = tmp_path_factory.mktemp("forms")
    pictures = [(path, breed) for breed in BREEDS for path in sorted(pets.glob(f"{breed}_*.jpg"))[:EACH]]
    for name, write in FORMS.items():
        write(pictures, root / name / "data")
    with ThreadPoolExecutor(2) as pool:  # much of a job is its start, on one core
        done = pool.map(lambda name: train(root / name, {"training": root / name / "data"}, PARAMETERS), FORMS)
        return dict(zip(FORMS, done, strict=True))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_by_its_reader_and_learned(jobs: dict[str, Job], name: str) -> None:
    job = jobs[name]
    assert job.exit_code == 0, job.log
    assert f"channel training: {len(BREEDS) * EACH} pictures of {len(BREEDS)} classes, labels from {name}" in job.log
    final = next(line for line in job.log.splitlines() if line.startswith("final "))
    error = float(dict(part.split("=") for part in final.split()[1:])["error_rate"])
    assert error < 0.4, "chance is 0.67"


def test_every_form_gives_the_same_weights(jobs: dict[str, Job]) -> None:
    weights = {name: (job.model / "model.safetensors").read_bytes() for name, job in jobs.items()}
    digests = {name: hashlib.sha256(content).digest() for name, content in weights.items()}
    assert len(set(digests.values())) == 1, sorted(digests)


def test_it_is_served(jobs: dict[str, Job], start_endpoint: Callable[..., Endpoint], pets: Path) -> None:
    endpoint = start_endpoint(jobs["recordio"].model)
    answer = endpoint.invoke(sorted(pets.glob("Bengal_*.jpg"))[0].read_bytes())
    assert answer.status_code == 200
    assert answer.json()["class"] in BREEDS
