"""Stopped by `docker stop -t 120` and by SIGKILL at random moments, a job ends as one that was never stopped."""

from __future__ import annotations

import random
import re
import signal
import time
from pathlib import Path

import docker
import pytest

from tests.contract.conftest import Job, start_training
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


def test_ten_stops_in_a_row_and_a_broken_checkpoint_change_nothing(engine, channels, undisturbed: Job, tmp_path: Path):
    chance = random.Random(int(time.time()))
    told = []
    batches = batches_done(undisturbed.folder / "checkpoints")
    whole = float(re.findall(r"training_seconds=([\d.]+)", undisturbed.log)[-1])
    for number in range(ROUNDS):
        running = start_training(engine, tmp_path, channels, PARAMETERS)
        first = number == 0
        wait_for(running.container, (" on cpu, ",) if first else ("going on from",))
        # A share of what is left, so that ten stops fit into the run on a machine that is faster now than it was.
        left = whole * (1 - batches_done(tmp_path / "checkpoints") / batches)
        time.sleep(chance.uniform(0, 0.15 * left))
        kind = chance.choice(("stop", "kill"))
        started = time.monotonic()
        if kind == "stop":
            running.container.stop(timeout=120)
        else:
            running.container.kill(signal.SIGKILL)
        seconds = time.monotonic() - started
        job = running.wait()
        told.append((kind, job.exit_code, round(seconds, 1)))
        assert job.exit_code == (143 if kind == "stop" else 137), job.log
        assert job.failure is None
        if kind == "stop":
            assert "goes on from it" in job.log or "stopped by SIGTERM" in job.log, job.log
        assert not any((tmp_path / "model").glob("*.json")), f"it was done before it was stopped: {told}"
    newest, before = sorted((tmp_path / "checkpoints").glob("checkpoint-*.pt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-1000])
    final = start_training(engine, tmp_path, channels, PARAMETERS).wait()
    assert final.exit_code == 0, final.log
    assert f"checkpoint {newest.name} can't be used" in final.log
    assert f"going on from {before.name}" in final.log
    assert same(final, undisturbed), told
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_checkpoint_of_another_run_is_refused(engine, channels, undisturbed: Job):
    job = start_training(engine, undisturbed.folder, channels, PARAMETERS | {"momentum": "0.9"}).wait()
    assert job.exit_code == 1
    assert job.failure is not None
    assert "momentum was 0.95, is 0.9" in job.failure
    assert "empty checkpoint folder" in job.failure
