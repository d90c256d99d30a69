"""A whole run of the trainer on a tiny network, and what becomes of what goes wrong around it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from fastai_container.errors import UserError  # noqa: E402
from fastai_container.model_folder import WEIGHTS, load_verified  # noqa: E402
from fastai_container.paths import MLPaths  # noqa: E402
from fastai_training import results  # noqa: E402
from fastai_training import trainer as subject  # noqa: E402
from fastai_training.data.channels import find_channels  # noqa: E402
from fastai_training.data.labels import DataError  # noqa: E402
from fastai_training.data.reading import read_data  # noqa: E402
from fastai_training.diagnosis.volumes import VolumeError  # noqa: E402
from fastai_training.fitting.stop_signal import Stop  # noqa: E402
from fastai_training.hyperparameters import parse  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training_data import ARCH, write_pictures, write_weights  # noqa: E402

PARAMETERS = {"arch": ARCH, "epochs": "1", "freeze_epochs": "1", "batch_size": "4", "image_size": "32", "workers": "0"}
PARAMETERS |= {"precision": "fp32", "serving_precision": "fp32"}


def write_job(base: Path, **parameters: str) -> MLPaths:
    """A job's folders: pictures of three colours, one that is none, and weights."""
    paths = MLPaths(base)
    paths.config.mkdir(parents=True)
    (paths.config / "hyperparameters.json").write_text(json.dumps(PARAMETERS | parameters))
    write_pictures(paths.data / "training", 7)
    (paths.data / "training" / "red_8.jpg").write_text("no picture")
    write_weights(paths.data / "weights")
    return paths


@dataclass(frozen=True)
class Trained:
    paths: MLPaths
    log: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    log: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (subject, results):
            patch.setattr(module, "log", log.append)
        # A run whose report can't be drawn has a model all the same.
        patch.setattr("fastai_training.reporting.report.write_report", broken)
        paths = write_job(tmp_path_factory.mktemp("trained"))
        subject.train(paths, Processes(), Stop())
    return Trained(paths, log)


def broken(*_: object) -> bool:
    raise ZeroDivisionError("no room for a chart")


def test_the_model_says_what_it_was_trained_with(trained: Trained):
    model = load_verified(trained.paths.model)
    assert (model.arch, model.vocab, model.image_size) == (ARCH, ["blue", "green", "red"], 32)
    assert model.hyperparameters["batch_size"] == 4
    assert set(model.metrics) >= {"valid_loss", "error_rate"}
    assert model.program["asked"] == "fp32"


def test_the_summary_counts_what_was_used_and_what_was_not(trained: Trained):
    summary = json.loads((trained.paths.output_data / "summary.json").read_text())
    assert (summary["classes"], summary["left_out"], summary["processes"]) == (3, 1, 1)
    assert summary["training_pictures"] + summary["validation_pictures"] == 21
    assert summary["metrics"] == load_verified(trained.paths.model).metrics
    assert summary["pretrained_weights"] == f"channel weights: {ARCH}.pth"
    assert any(line.startswith("channel training: 1 pictures left out (red_8.jpg") for line in trained.log)


def test_the_last_line_has_the_metrics_of_training_and_of_serving(trained: Trained):
    for name in ("error_rate", "training_seconds", "serving_error_rate", "serving_milliseconds"):
        assert f"{name}=" in trained.log[-1]


def test_a_report_that_cannot_be_drawn_costs_no_model(trained: Trained):
    assert [line for line in trained.log if line.startswith("warning: there is no report of this run")]
    assert not (trained.paths.output_data / "report.html").exists()


def test_checkpoints_that_cannot_be_written_end_the_job_before_its_pictures_are_read(tmp_path: Path, monkeypatch):
    paths = write_job(tmp_path)
    paths.checkpoints.write_text("a file")
    monkeypatch.setattr(subject, "read_data", broken)
    with pytest.raises(VolumeError, match=r"checkpoints can't be written: .* is a file"):
        subject.train(paths, Processes(), Stop())


@pytest.fixture
def job(tmp_path: Path, monkeypatch) -> Iterator[MLPaths]:
    """A job that ``main`` runs; the signals that it takes are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setattr(subject, "keep_freed_memory", lambda: None)  # of the process, for good
    yield MLPaths(tmp_path)
    for number, handler in before.items():
        signal.signal(number, handler)


def failing(error: Exception):
    def train(*_: object) -> None:
        raise error

    return train


def test_what_the_user_can_fix_is_one_line(job: MLPaths, monkeypatch, capsys):
    monkeypatch.setattr(subject, "train", failing(UserError("no picture of the class red")))
    assert subject.main() == 1
    assert job.failure.read_text() == "no picture of the class red"
    assert capsys.readouterr().err == "error: no picture of the class red\n"


def test_what_nobody_foresaw_has_its_traceback_in_the_log(job: MLPaths, monkeypatch, capsys):
    monkeypatch.setattr(subject, "train", failing(ZeroDivisionError("by nothing")))
    assert subject.main() == 1
    assert "by nothing" in job.failure.read_text()
    errors = capsys.readouterr().err
    assert errors.startswith("Traceback (most recent call last):")
    assert errors.splitlines()[-1] == f"error: {job.failure.read_text()}"


def test_the_first_process_that_failed_knows_why(job: MLPaths, monkeypatch):
    job.write_failure("out of memory on rank 0")
    monkeypatch.setattr(subject, "train", failing(RuntimeError("Connection closed by peer")))
    assert subject.main() == 1
    assert job.failure.read_text() == "out of memory on rank 0"


def test_a_run_that_ends_well_leaves_no_reason(job: MLPaths, monkeypatch):
    monkeypatch.setattr(subject, "train", lambda *_: None)
    assert subject.main() == 0
    assert not job.failure.exists()


def train_late(base: Path, **parameters: str) -> tuple[MLPaths, list[str]]:
    """Train on pictures of which none is looked at before, and one that is for training can't be read."""
    paths = write_job(base, check_pictures="while_training", **parameters)
    (paths.data / "training" / "red_8.jpg").unlink()
    first = read_data(find_channels(paths), parse({"image_size": "32"}), lambda _: None, 1).train[0]
    first.path.write_text("no picture")
    log: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "log", log.append)
        patch.setattr("fastai_training.data.reading.sampled", lambda items: list(items)[1:])
        subject.train(paths, Processes(), Stop())
    return paths, [first.path.name, *log]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_picture_that_training_finds_to_be_unreadable_is_left_out_and_named(tmp_path: Path, workers: str):
    paths, (name, *log) = train_late(tmp_path, workers=workers, serving_precision="int8", lr="auto")
    line = f"channel training: 1 pictures left out while training ({name}: not a picture in a format"
    assert len([text for text in log if text.startswith(line)]) == 1
    rows = (paths.output_data / "skipped.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith(f"training,{name},")
    summary = json.loads((paths.output_data / "summary.json").read_text())
    assert summary["left_out"] == 1
    assert summary["training_pictures"] + summary["validation_pictures"] == 20
    assert name in (paths.output_data / "report.html").read_text()
    assert load_verified(paths.model).program["asked"] == "int8"


def test_strict_ends_training_at_a_picture_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(DataError, match=r"can't be read and strict is set: not a picture") as raised:
        train_late(tmp_path, strict="true", workers="2")
    assert len(str(raised.value).splitlines()) == 1


def test_pictures_without_a_damaged_one_give_the_same_weights_whenever_they_are_checked(tmp_path: Path):
    weights = {}
    for how in ("before", "while_training"):
        paths = write_job(tmp_path / how, check_pictures=how)
        (paths.data / "training" / "red_8.jpg").unlink()
        subject.train(paths, Processes(), Stop())
        weights[how] = (paths.model / WEIGHTS).read_bytes()
    assert weights["before"] == weights["while_training"]
