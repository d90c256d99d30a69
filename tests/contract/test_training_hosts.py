"""Several hosts: containers on a bridge network, each a host of one job, as resourceconfig.json says."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import docker
import pytest

from fastai_container.model_folder import load_verified
from tests.contract.conftest import Job, TrainingContainer, start_training
from tests.contract.test_training_job import CODE, reason, wait_for_log, write_code
from tests.waiting import PATIENCE

pytestmark = pytest.mark.engine

SCRIPT = {
    "sagemaker_program": "train.py",
    "sagemaker_submit_directory": CODE,
    "sagemaker_torch_distributed_enabled": "true",
}
TRAIN = """\
import argparse, os, time
import torch
import torch.distributed as dist

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
parser.add_argument("--raise-on", type=int, default=-1)
args = parser.parse_args()
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
print(f"rank={rank} world={world} interface={os.environ.get('GLOO_SOCKET_IFNAME')}", flush=True)
for step in range(args.steps):
    total = torch.ones(1) * (rank + 1)
    dist.all_reduce(total)
    print(f"rank={rank} step={step} total={total.item():.0f}", flush=True)
    if rank == args.raise_on:
        raise ValueError("the label of picture 7 is empty")
    time.sleep(0.1)
dist.destroy_process_group()
"""


@pytest.fixture
def hosts(engine: docker.DockerClient) -> Iterator[Callable[[Path, int], TrainingContainer]]:
    """``hosts(folder, index, ...)`` starts host 0 or 1 of a job of two; ``folder`` is that of both."""
    suffix = uuid.uuid4().hex[:5]
    names = [f"algo-{number}-{suffix}" for number in (1, 2)]
    network = engine.networks.create(f"fastai-sagemaker-test-{suffix}", internal=True)
    started: list[TrainingContainer] = []

    def start(folder: Path, index: int, channels: dict[str, Path], parameters: dict[str, str]) -> TrainingContainer:
        config = folder / names[index] / "input" / "config"
        config.mkdir(parents=True)
        # An interface of SageMaker's that these containers don't have.
        resources = {"current_host": names[index], "hosts": names, "network_interface_name": "ethwe"}
        (config / "resourceconfig.json").write_text(json.dumps(resources))
        options = {"name": names[index], "network_mode": network.name}
        started.append(start_training(engine, folder / names[index], channels, parameters, **options))
        return started[-1]

    yield start
    for running in started:
        with contextlib.suppress(docker.errors.NotFound):
            running.container.remove(force=True)
    network.remove()


@pytest.fixture
def start_both(
    hosts: Callable[..., TrainingContainer], sagemaker_folder: Path
) -> Callable[..., list[TrainingContainer]]:
    """Start the script on both hosts, the second one once the first misses it."""

    def start(*, later: bool = False, **arguments: int) -> list[TrainingContainer]:
        code = write_code(sagemaker_folder, train_py=TRAIN)
        parameters = SCRIPT | {name.replace("_", "-"): str(value) for name, value in arguments.items()}
        first = hosts(sagemaker_folder, 0, {"code": code}, parameters)
        if later:
            wait_for_log(first, "waiting for the name of host algo-2-")
        return [first, hosts(sagemaker_folder, 1, {"code": code}, parameters)]

    return start


def wait_for(running: TrainingContainer) -> Job:
    """A job that was told of another's end, long before the 15 minutes that peers wait for each other."""
    return running.wait(PATIENCE)


def test_two_hosts_work_together_though_one_comes_late(start_both: Callable[..., list[TrainingContainer]]):
    jobs = [running.wait() for running in start_both(later=True, steps=3)]
    for rank, job in enumerate(jobs):
        assert job.exit_code == 0, job.log
        assert job.failure is None
        assert f"rank={rank} world=2 interface=eth0" in job.log
        assert f"rank={rank} step=2 total=3" in job.log


ALONE = """\
import os, sys, torch, torch.distributed as dist
print("MEETING", os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"], flush=True)
hosts = eval(os.environ["SM_HOSTS"])
dist.init_process_group("gloo", rank=hosts.index(os.environ["SM_CURRENT_HOST"]), world_size=len(hosts))
total = torch.ones(1)
dist.all_reduce(total)
print("TOTAL", total.item(), flush=True)
dist.destroy_process_group()
"""


def test_a_script_of_its_own_meets_the_others_without_torchrun(
    hosts: Callable[..., TrainingContainer], sagemaker_folder: Path
):
    code = write_code(sagemaker_folder, train_py=ALONE)
    parameters = {name: value for name, value in SCRIPT.items() if "distributed" not in name}
    both = [hosts(sagemaker_folder, index, {"code": code}, parameters) for index in (0, 1)]
    first = both[0].container.name
    for running in both:
        job = running.wait(180)
        assert job.exit_code == 0, job.log
        assert f"MEETING {first} 7777" in job.log
        assert "TOTAL 2.0" in job.log


#: Says on the hosts' port that another host failed, as an older version of it would have been believed.
STRANGER = """import socket, sys
with socket.create_connection((sys.argv[1], 7778), timeout=60) as first:
    for event in ("hello", "failed"):
        first.sendall(b'{"host": "%s", "event": "%s", "reason": "SPOOFED"}\\n' % (sys.argv[2].encode(), event.encode()))
    try:
        while first.recv(1000): pass
    except ConnectionResetError: pass  # closed before all of it was read
print("SENT AWAY")
"""


def test_a_stranger_on_the_network_ends_no_job(start_both: Callable[..., list[TrainingContainer]]):
    both = start_both(steps=100)
    wait_for_log(both[1], "step=5 ")
    first, second = (running.container.name for running in both)
    code, output = both[1].container.exec_run(["python3", "-c", STRANGER, first, second])
    assert (code, output.decode().strip()) == (0, "SENT AWAY")
    for running in both:
        job = running.wait(180)
        assert job.exit_code == 0, job.log
        assert "SPOOFED" not in job.log


@pytest.mark.parametrize("dying", [0, 1])
def test_a_host_that_dies_fails_the_other(start_both: Callable[..., list[TrainingContainer]], dying: int):
    both = start_both(steps=2000)
    wait_for_log(both[dying], "step=5 ")
    name = both[dying].container.name
    both[dying].container.kill()
    job = wait_for(both[1 - dying])
    assert job.exit_code == 1
    assert reason(job).startswith(f"host {name} failed: it died without a word (killed, or its machine went away)")


def test_a_script_that_raises_on_one_host_is_told_on_both(start_both: Callable[..., list[TrainingContainer]]):
    both = start_both(steps=2000, raise_on=1)
    jobs = [running.wait() for running in both]
    assert [job.exit_code for job in jobs] == [1, 1], jobs[1].log + str(jobs[1].failure)
    lines = reason(jobs[1]).splitlines()
    assert lines[0] == "ValueError: the label of picture 7 is empty"
    assert lines[1].startswith("in train.py, line 17: raise ValueError(")
    assert reason(jobs[0]).startswith(
        f"host {both[1].container.name} failed: ValueError: the label of picture 7 is empty"
    )


def test_one_host_with_several_processes_without_network(engine: docker.DockerClient, sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=TRAIN)
    # Two GPUs as far as the launcher can tell; the script itself computes on the CPU.
    visible = {"CUDA_VISIBLE_DEVICES": "0,1"}
    parameters = SCRIPT | {"steps": "3"}
    job = start_training(engine, sagemaker_folder, {"code": code}, parameters, environment=visible).wait()
    assert job.exit_code == 0, job.log
    assert "rank=0 world=2 interface=lo" in job.log
    assert "rank=1 step=2 total=3" in job.log


def test_a_workers_exit_code_comes_through_torchrun(engine: docker.DockerClient, sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py="import os, sys\nsys.exit(9 if os.environ['RANK'] == '1' else 0)\n")
    visible = {"CUDA_VISIBLE_DEVICES": "0,1"}
    job = start_training(engine, sagemaker_folder, {"code": code}, SCRIPT, environment=visible).wait()
    assert job.exit_code == 9
    assert "train.py: exit code 9" in reason(job)


#: The built-in trainer has to know of other processes; without that each host would train by itself.
builtin = pytest.mark.skipif(find_spec("fastai_training.fitting.ddp") is None, reason="the built-in trainer runs alone")
FEW = {"arch": "efficientnet_lite0", "image_size": "64", "batch_size": "8", "freeze_epochs": "0", "workers": "0"}


@pytest.fixture
def few_pets(pets: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for breed in ("Bengal", "Abyssinian"):
        for path in sorted(pets.glob(f"{breed}_*.jpg"))[:24]:
            shutil.copy(path, folder)
    return folder


@builtin
@pytest.mark.pets
def test_two_hosts_train_the_built_in_program(
    hosts: Callable[..., TrainingContainer], sagemaker_folder: Path, few_pets: Path
):
    both = [hosts(sagemaker_folder, index, {"training": few_pets}, FEW | {"epochs": "1"}) for index in (0, 1)]
    jobs = [running.wait(240) for running in both]
    for job in jobs:
        assert job.exit_code == 0, job.log
        assert job.failure is None
    assert load_verified(jobs[0].model).vocab == ["Abyssinian", "Bengal"]
    assert not list(jobs[1].model.iterdir())  # the first host alone writes
    assert "2 processes agree on the weights" in jobs[0].log


@builtin
@pytest.mark.pets
def test_a_host_that_dies_fails_the_built_in_program_on_the_other(
    hosts: Callable[..., TrainingContainer], sagemaker_folder: Path, few_pets: Path
):
    both = [hosts(sagemaker_folder, index, {"training": few_pets}, FEW | {"epochs": "500"}) for index in (0, 1)]
    wait_for_log(both[0], "epoch=2 ", 3 * PATIENCE)  # two imports of torch and two epochs
    both[1].container.kill()
    job = wait_for(both[0])
    assert job.exit_code == 1
    assert reason(job).startswith(f"host {both[1].container.name} failed: it died without a word")


def test_a_stop_of_all_hosts_is_no_failure(start_both: Callable[..., list[TrainingContainer]]):
    both = start_both(steps=2000)
    wait_for_log(both[0], "step=5 ")
    for running in both:
        running.container.client.api.kill(running.container.id, "SIGTERM")
    for running in both:
        job = wait_for(running)
        assert job.exit_code == 143, job.log
        assert job.failure is None
