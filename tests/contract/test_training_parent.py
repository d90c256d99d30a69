"""A job that goes on from the model of another, given as SageMaker gives it: model.tar.gz in the channel ``model``."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fastai_container.model_folder import load_verified
from tests.contract.conftest import Endpoint, Job
from tests.unit.training_data import COLOURS, write_picture

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: Pictures of each breed that are trained on again, and of the class that is new.
EACH = 20
NEW = "zz_green"


@pytest.fixture(scope="module")
def model_channel(pets_job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The main job's model, packed as SageMaker packs /opt/ml/model."""
    folder = tmp_path_factory.mktemp("model")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(pets_job.model, ".")
    return folder


@pytest.fixture(scope="module")
def pictures(pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures of each breed, and a class that no breed is."""
    folder = tmp_path_factory.mktemp("pictures")
    taken: dict[str, int] = {}
    for path in sorted(pets.glob("*.jpg")):
        breed = path.stem.rpartition("_")[0]
        taken[breed] = taken.get(breed, 0) + 1
        if taken[breed] <= EACH:
            (folder / path.name).write_bytes(path.read_bytes())
    for number in range(1, EACH + 1):
        write_picture(folder / f"{NEW}_{number}.jpg", COLOURS["green"], (320, 240))
    return folder


@pytest.fixture(scope="module")
def child(
    train: Callable[..., Job], model_channel: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Job:
    """A job without network and without a word on the architecture: all that it starts with is in the channel."""
    channels = {"training": pictures, "model": model_channel}
    job = train(tmp_path_factory.mktemp("child"), channels, {"epochs": "0"})
    assert job.exit_code == 0, job.log
    return job


def test_the_new_model_knows_the_old_classes_and_the_new_one(child: Job, pets_job: Job):
    before, after = load_verified(pets_job.model), load_verified(child.model)
    assert after.vocab == sorted([*before.vocab, NEW])
    assert (after.arch, after.image_size, after.mean, after.std) == (
        *(before.arch, before.image_size, before.mean, before.std),
    )
    digest = hashlib.sha256((pets_job.model / "model.json").read_bytes()).hexdigest()
    assert after.lineage["parent"]["model_json_sha256"] == digest
    assert after.lineage["classes"] == {"in_common": 37, "new": [NEW], "dropped": []}
    assert f"model.json SHA-256 {digest}" in child.log


def test_the_log_compares_both_on_the_same_pictures(child: Job):
    before, now = re.findall(
        r"^parent error_rate=(\S+) on (\d+) pictures of 37 classes it knows; now error_rate=(\S+)$",
        child.log,
        re.MULTILINE,
    )[0][::2]
    assert float(before) < 0.30
    # The old classes are not forgotten for the new one; the parent has seen some of these pictures, the child has not.
    assert float(now) < float(before) + 0.15


def test_the_new_model_is_served(start_endpoint: Callable[..., Endpoint], child: Job, pets: Path, pictures: Path):
    endpoint = start_endpoint(child.model)
    answers = [
        endpoint.invoke(path.read_bytes()).json()["class"]
        for path in (pets / "Bengal_101.jpg", pictures / f"{NEW}_1.jpg")
    ]
    assert answers == ["Bengal", NEW]


def test_a_damaged_model_fails_the_job_with_its_reason(
    train: Callable[..., Job], model_channel: Path, pictures: Path, tmp_path: Path
):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    whole = (model_channel / "model.tar.gz").read_bytes()
    (damaged / "model.tar.gz").write_bytes(whole[: len(whole) // 2])
    job = train(tmp_path / "ml", {"training": pictures, "model": damaged}, {"epochs": "0"})
    assert job.exit_code == 1
    assert job.failure == (
        "model.tar.gz in the channel model is no tar archive, or cut short; copy it again, or train again"
    )


def test_another_architecture_fails_the_job_naming_both(
    train: Callable[..., Job], model_channel: Path, pictures: Path, tmp_path: Path
):
    job = train(tmp_path, {"training": pictures, "model": model_channel}, {"arch": "resnet18"})
    assert job.exit_code == 1
    assert (job.failure or "").startswith(
        "arch=resnet18, but the model in the channel model is a tf_efficientnet_lite0: leave arch out"
    )
