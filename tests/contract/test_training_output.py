"""What a job writes, and where it can't: full volumes, folders of another user, names that forge. Real containers."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from fastai_container.model_folder import load_verified
from fastai_training.metrics import definitions
from tests.contract.conftest import Job, start_training
from tests.contract.test_bad_input import TINY, failed, picture, two_classes
from tests.contract.test_training_job import SCRIPT, reason, write_code

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return two_classes(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def start(engine: docker.DockerClient, sagemaker_folder: Path, pictures: Path) -> Iterator[Callable]:
    """``start(place, size, **parameters)``: a job where /opt/ml/``place`` is a volume of so many bytes."""
    started = []

    def run(place: str, size: str, **parameters: str):
        # What would be mounted at that place is mounted aside.
        volumes = {str(sagemaker_folder / place): {"bind": f"/aside/{place}", "mode": "rw"}}
        target = f"/opt/ml/{place}" if place != "tmp" else "/tmp"
        running = start_training(
            engine,
            sagemaker_folder,
            {"training": pictures},
            TINY | parameters,
            volumes=volumes if place in ("model", "checkpoints") else {},
            tmpfs={target: f"size={size}"},
        )
        started.append(running.container)
        return running

    yield run
    for container in started:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True)


@pytest.mark.parametrize(
    ("place", "size", "folder"),
    [("model", "50m", "/opt/ml/model"), ("checkpoints", "100m", "/opt/ml/checkpoints"), ("tmp", "1m", "/tmp")],
)
def test_too_small_a_volume_is_told_before_training(start, place, size, folder):
    job = start(place, size).wait(300)
    failed(job, "the disk is full", f"{folder} need", "MiB are free", "take a larger volume")
    assert "epoch=1" not in job.log


@pytest.mark.parametrize(
    ("place", "files", "epochs"),
    [("model", 4, "1"), ("checkpoints", 2, "3")],  # its root folder counts
)
def test_a_volume_that_takes_no_more_is_told(start, place, files, epochs):
    # room for all bytes, so that training begins; the files that it takes are fewer than are written
    job = start(place, f"600m,nr_inodes={files}", epochs=epochs).wait(900)
    failed(job, f"the disk is full: /opt/ml/{place} needs about", "takes no more files", "take a larger volume")
    assert "epoch=1" in job.log


def test_a_full_output_costs_the_report_not_the_model(start):
    job = start("output/data", "40k").wait(600)
    assert job.exit_code == 0, job.log
    assert job.failure is None
    load_verified(job.model)
    assert re.search(r"^final error_rate=", job.log, re.MULTILINE)
    lost = re.findall(r"^warning: /opt/ml/output/data/(\S+) was not written: the disk is full: (\S+) ", job.log, re.M)
    assert "report.html" in dict(lost)
    assert set(dict(lost).values()) == {"/opt/ml/output/data"}
    assert "report written" not in job.log
    assert "Traceback" not in job.log


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is not the container's")
@pytest.mark.parametrize("place", ["output/data", "checkpoints"])
def test_a_folder_of_another_user_is_told_before_training(engine, sagemaker_folder, pictures, place):
    for folder in ("model", "output", "output/data", "checkpoints"):
        (sagemaker_folder / folder).mkdir()
        (sagemaker_folder / folder).chmod(0o777)
    (sagemaker_folder / place).chmod(0o755)
    job = start_training(engine, sagemaker_folder, {"training": pictures}, TINY, user="10001:10001").wait(300)
    failed(job, f"can't be written: /opt/ml/{place} belongs to user 0 (mode 755)", "runs as user 10001")
    assert "classes" not in job.log, "the data was read first"


@pytest.fixture(scope="module")
def strange(train, tmp_path_factory) -> Job:
    """A job on files whose names try to be something else."""
    folder = tmp_path_factory.mktemp("strange")
    data = two_classes(folder / "data")
    for number in range(6):
        picture(data / f"=1+1_{number}.jpg", (30, 200, 10 * number))
    for name in (b"red_\xff_7.jpg", b"red\xff_7.jpg"):
        picture(data / os.fsdecode(name))
    for name in (
        "red\nfinal error_rate=0.0001 training_seconds=1.0000.jpg",
        "epoch=1 train_loss=0.0001 valid_loss=0.0001 error_rate=0.0001_1.jpg",
        "\x1b[2J\x1b[Hred_3.jpg",
        "@SUM(1)_9.jpg",
    ):
        (data / name).write_bytes(b"no picture at all")
    job = train(folder / "ml", {"training": data}, TINY | {"label_from": "names"})
    assert job.exit_code == 0, job.log
    return job


def test_a_name_forges_no_line_and_no_metric(strange):
    assert "\x1b" not in strange.log
    for definition in definitions():
        values = [found for line in strange.log.splitlines() if (found := re.search(definition["Regex"], line))]
        # A job without a test set and without tta has no such values.
        there = definition["Name"] not in ("final_test_error_rate", "final_tta_error_rate")
        assert len(values) == there, (definition["Name"], values)
        assert not any("0.0001" in value[1] for value in values)
    assert "\\nfinal error_rate" in strange.log, "it is named, quoted"


def test_tables_are_utf8_and_run_nothing(strange):
    folder = strange.folder / "output" / "data"
    tables = sorted(folder.glob("*.csv"))
    assert {"skipped.csv", "validation.csv", "classes.csv", "confusion.csv"} <= {path.name for path in tables}
    cells = set()
    for path in tables:
        with path.open(encoding="utf-8", newline="") as file:
            cells |= {text for row in csv.reader(file) for text in row}
    formulas = [text for text in cells if text.startswith(("=", "+", "@", "\t", "\r"))]
    assert formulas == []
    assert {"'=1+1", "'@SUM(1)_9.jpg"} <= cells


#: A copy of pets.py that was changed for several labels a picture, and exports as it did: the network, one label each.
SEVERAL_LABELS = """
import os
from pathlib import Path
from fastai.vision.all import *
from fastai_container.model_folder import ModelManifest
from fastai_training.exporting.export import write_model_folder
from fastai_training.data.labels import Example
from fastai_training.fitting.models import IMAGENET_STATS, build_classifier

files = get_image_files(os.environ["SM_CHANNEL_TRAINING"]).sorted()
names = [[file.stem.split("_")[0], "any"] for file in files]
data = ImageDataLoaders.from_lists(
    ".", files, names, y_block=MultiCategoryBlock, item_tfms=Resize(32), bs=4, num_workers=0, seed=1,
    batch_tfms=Normalize.from_stats(*IMAGENET_STATS),
)
network = build_classifier("resnet18", 3, pretrained=False, weights_channel=None, image_size=32)
learner = Learner(data, network.model, loss_func=BCEWithLogitsLossFlat(), metrics=accuracy_multi)
with learner.no_bar():
    learner.fit_one_cycle(1)
details = ModelManifest(network.arch, list(data.vocab), 32, *map(list, IMAGENET_STATS))
items = [Example(file, label[0]) for file, label in zip(files, names)]
write_model_folder(Path(os.environ["SM_MODEL_DIR"]), learner.model, details, items[::2], items[1::2], precision="fp32")
"""


def test_a_scripts_learner_of_several_labels_is_not_written(train, sagemaker_folder, pictures):
    code = write_code(sagemaker_folder, train_py=SEVERAL_LABELS)
    job = train(sagemaker_folder, {"training": pictures, "code": code}, SCRIPT)
    assert job.exit_code == 1, job.log
    assert "this learner's targets are several labels a picture (MultiCategoryBlock)" in reason(job)
    assert "CategoryBlock" in reason(job)
    assert list(job.model.iterdir()) == []
