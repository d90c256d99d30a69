"""Stopped by `docker stop -t 120` and by SIGKILL at random moments, a job ends as one that was never stopped."""

from __future__ import annotations

import random
import re
import signal
import time
from pathlib import Path

import docker
import pytest

from tests.contract.conftest import Job, TrainingContainer, start_training
from tests.unit.training_data import ARCH, write_pictures, write_weights
from tests.waiting import until

pytestmark = [pytest.mark.engine]

ROUNDS = 10
PARAMETERS = {
    "arch": ARCH,
    "freeze_epochs": "3",
    "epochs": "6",
    "batch_size": "8",
    "image_size": "64",
    "workers": "2",
    "augment": "full",
    "checkpoint_seconds": "1",
    "serving_precision": "fp32",
}


@pytest.fixture(scope="module")
def channels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channels")
    write_pictures(folder / "training", 60)
    write_weights(folder / "weights")
    return {"training": folder / "training", "weights": folder / "weights"}


@pytest.fixture(scope="module")
def undisturbed(engine: docker.DockerClient, channels, tmp_path_factory) -> Job:
    job = start_training(engine, tmp_path_factory.mktemp("undisturbed"), channels, PARAMETERS).wait()
    assert job.exit_code == 0, job.log
    return job


def weights(job: Job):
    from safetensors.torch import load_file

    return load_file(job.model / "model.safetensors")


def same(first: Job, second: Job) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(bool((a[name] == b[name]).all()) for name in a)


def wait_for(container, words: tuple[str, ...]) -> str:
    """The log up to the line that has one of ``words``, or to the container's end."""

    def log() -> str:
        container.reload()
        text = container.logs().decode(errors="replace")
        return text if any(word in text for word in words) or container.status == "exited" else ""

    return until(log, container.logs)


def batches_done(folder: Path) -> int:
    """By the newest checkpoint's name."""
    return max((int(path.stem.rpartition("-")[2]) for path in folder.glob("checkpoint-*.pt")), default=0)


def stop(running: TrainingContainer, kind: str) -> None:
    """``docker stop`` or SIGKILL, also when the job ends in the same moment by itself."""
    if kind == "stop":
        running.container.stop(timeout=120)
        return
    try:
        running.container.kill(signal.SIGKILL)
    except docker.errors.APIError as error:
        if "is not running" not in str(error):
            raise


def test_ten_stops_in_a_row_and_a_broken_checkpoint_change_nothing(engine, channels, undisturbed: Job, tmp_path: Path):
    chance = random.Random(int(time.time()))
    told: list[tuple[str, int]] = []
    stops = runs = 0
    batches = batches_done(undisturbed.folder / "checkpoints")
    whole = float(re.findall(r"training_seconds=([\d.]+)", undisturbed.log)[-1])
    folder = tmp_path / "0"
    while stops < ROUNDS or len(list((folder / "checkpoints").glob("*.pt"))) < 2:
        assert runs < 4 * ROUNDS, told
        runs += 1
        begun = any((folder / "checkpoints").glob("checkpoint-*.pt"))
        running = start_training(engine, folder, channels, PARAMETERS)
        wait_for(running.container, ("going on from",) if begun else (" on cpu, ",))
        # A share of what is left, so that ten stops fit into the run.
        left = whole * (1 - batches_done(folder / "checkpoints") / batches)
        time.sleep(chance.uniform(0, 0.15 * left))
        kind = chance.choice(("stop", "kill"))
        stop(running, kind)
        job = running.wait()
        told.append((kind, job.exit_code))
        assert job.failure is None, job.log
        if job.exit_code == 0:  # the machine is faster now than it was: this run was done before it was stopped
            assert same(job, undisturbed), told
            folder = tmp_path / str(runs)
            continue
        stops += 1
        assert job.exit_code == (143 if kind == "stop" else 137), job.log
        if kind == "stop":
            assert "goes on from it" in job.log or "stopped by SIGTERM" in job.log, job.log
    newest, before = sorted((folder / "checkpoints").glob("checkpoint-*.pt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-1000])
    final = start_training(engine, folder, channels, PARAMETERS).wait()
    assert final.exit_code == 0, final.log
    assert f"checkpoint {newest.name} can't be used" in final.log
    assert f"going on from {before.name}" in final.log
    assert same(final, undisturbed), told
    assert len(list((folder / "checkpoints").iterdir())) == 2


def test_a_checkpoint_of_another_run_is_refused(engine, channels, undisturbed: Job):
    job = start_training(engine, undisturbed.folder, channels, PARAMETERS | {"momentum": "0.9"}).wait()
    assert job.exit_code == 1
    assert job.failure is not None
    assert "momentum was 0.95, is 0.9" in job.failure
    assert "empty checkpoint folder" in job.failure
