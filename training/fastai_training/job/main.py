"""One training job, seen from PID 1: choose what to run, watch over it, and say what went wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError, printable
from fastai_container.paths import MLPaths
from fastai_container.resources import visible_gpu_count
from fastai_training import console
from fastai_training.config_files import decoded, read_hyperparameters
from fastai_training.diagnosis import failure_reason as failure
from fastai_training.diagnosis import tracebacks, volumes
from fastai_training.diagnosis.symptoms import is_lost_peer
from fastai_training.job import intermediate_output, stray_models
from fastai_training.job.child_process import Outcome, Supervisor
from fastai_training.job.host_failures import Peers, shared_key
from fastai_training.job.hosts import Cluster
from fastai_training.job.log_tail import Tail
from fastai_training.job.oom_kills import OomCount
from fastai_training.job.reason import RunningJob
from fastai_training.job.secret_masking import Mask
from fastai_training.job.user_script import find_unnamed_code, program_of

#: A process that lost its peers fails at once; why they were lost is known a little later (torchrun gives the other
#: processes of its host 30 seconds to end).
WAIT_FOR_PEERS_SECONDS = 40
#: Of a job that was stopped nothing tells the copier that no more files come.
_COPY_AFTER_STOP_SECONDS = 5
#: Held free during the job, so that a full disk still takes the reason.
_RESERVE_BYTES = 8192
#: What the program is called when no script is given.
BUILT_IN = "the built-in trainer"


def _command(paths: MLPaths, hyperparameters: Mapping[str, Any], cluster: Cluster) -> list[str]:
    """What to run: the built-in trainer itself, or what gets a user's script or torchrun ready. Raises UserError."""
    if not program_of(hyperparameters, os.environ):
        find_unnamed_code(paths, hyperparameters)
        if len(cluster.hosts) * max(1, visible_gpu_count()) == 1:
            return [sys.executable, "-P", "-m", "fastai_training"]
    return [sys.executable, "-P", "-m", "fastai_training.job.launcher"]


def _reserve(paths: MLPaths) -> Path:
    """A small file beside ``failure``; removed again when that is written."""
    path = paths.failure.with_name(".reserved")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_RESERVE_BYTES))
    return path


def _write_reason(paths: MLPaths, reason: str) -> None:
    try:
        paths.write_failure("\n".join(map(printable, reason.splitlines())))
    except OSError as error:
        console.error(f"{paths.failure} can't be written: {error.strerror}")


def _own_reason(path: Path, mask: Mask) -> str:
    """What the program itself wrote as its failure's reason, secrets masked; "" for nothing."""
    try:
        return mask(path.read_text(encoding="utf-8", errors="replace")).strip()
    except OSError:
        return ""


def _exit_code(outcome: Outcome, tail: Tail) -> int:
    """The program's own exit code, also from behind torchrun, which always ends with 1.

    That of an uncaught exception is 1, also where the interpreter was aborted while it ended because of it.
    """
    code = outcome.exit_code
    if outcome.stopped_by == signal.SIGTERM and code == 1 and _was_torchrun(tail):
        return 128 + signal.SIGTERM  # its workers ended because they were asked to
    if code == 1 and _was_torchrun(tail):
        worker = tracebacks.worker_exit_code(tail.lines("stderr")) or code
        code = worker if worker > 0 else 128 - worker
    if code == 128 + signal.SIGABRT and tracebacks.is_aborted_ending(tail.lines("stderr")):
        return 1
    return code


def _was_torchrun(tail: Tail) -> bool:
    return any("torch.distributed" in line or "torch/distributed" in line for line in tail.lines("stderr"))


@dataclass(frozen=True)
class _Plan:
    """What to run, and what is known of the job before it runs."""

    hyperparameters: dict[str, Any]
    cluster: Cluster
    command: list[str]

    @property
    def program(self) -> str:
        """The user's program, "" for the built-in one."""
        return program_of(self.hyperparameters, os.environ)


def _plan(paths: MLPaths) -> _Plan:
    """Read the job's files and look at its folders. Raises UserError."""
    hyperparameters = read_hyperparameters(paths.config)
    cluster = Cluster.read(paths.config)
    plan = _Plan(hyperparameters, cluster, _command(paths, hyperparameters, cluster))
    for warning in volumes.check(paths, scripted=bool(plan.program)):
        console.warn(warning)
    return plan


def _success_file(paths: MLPaths) -> Path:
    """The file that says that the job succeeded."""
    return paths.failure.with_name("success")


def _remove_stale(paths: MLPaths) -> None:
    """Remove what an earlier job said of its end."""
    for stale in (paths.failure, _success_file(paths)):
        with contextlib.suppress(OSError):  # a folder that can't be written is told a little later
            stale.unlink(missing_ok=True)


def _ended_well(plan: _Plan, paths: MLPaths, started: float) -> None:
    with contextlib.suppress(OSError):
        _success_file(paths).touch()
    if plan.program and plan.cluster.rank == 0 and (warning := stray_models.warning(paths, started)):
        console.warn(warning)


def _failed(job: RunningJob, outcome: Outcome, code: int, peers: Peers) -> int:
    """Find out why, tell it to all who want to know, and return the exit code."""
    tail, hosts = job.tail, job.cluster.hosts
    own = _own_reason(job.paths.failure, job.mask)
    if outcome.aborted or not own or (len(hosts) > 1 and is_lost_peer(own)):
        lost = outcome.aborted or is_lost_peer("\n".join(tail.lines("stderr")[-60:]))
        peer = peers.failure(WAIT_FOR_PEERS_SECONDS if lost and len(hosts) > 1 else 0)
        if outcome.aborted and code > 128:
            code = 1
        own = job.reason(outcome, code, peer, peers.stopped())
        console.error(own.partition(failure.LAST_OUTPUT)[0])
    elif job.program != BUILT_IN:  # whose own reasons say what to do
        own = failure.with_cause(own, job.folders, job.paths.code)
    peers.report(own.splitlines()[0][:300])
    _write_reason(job.paths, own)
    return code


def _watch_others(plan: _Plan, supervisor: Supervisor) -> Peers:
    """Learn of other hosts' failures from now on; one of them ends the program here."""
    peers = Peers(plan.cluster, lambda _failure: supervisor.abort(), key=shared_key(plan.cluster, plan.hyperparameters))
    try:
        peers.start()
    except OSError as error:
        console.log(f"the other hosts can't be watched ({error.strerror}): a host failure may not be detected")
    return peers


def _run_to_end(job: RunningJob, plan: _Plan, supervisor: Supervisor, peers: Peers, started: float) -> tuple[int, bool]:
    """Run the program and tell of its end; its exit code, and whether it ended because it was asked to."""
    reserved = _reserve(job.paths)
    outcome = supervisor.run(plan.command, os.environ | {"PYTHONUNBUFFERED": "1"})
    code = _exit_code(outcome, supervisor.tail)
    asked = outcome.stopped_by is not None and not outcome.killed and code in (0, 128 + outcome.stopped_by)
    with contextlib.suppress(OSError):
        reserved.unlink(missing_ok=True)
    if code == 0 and not outcome.aborted:
        peers.report(None)
        _ended_well(plan, job.paths, started)
    elif asked:
        peers.report(None)
        console.log(f"training was stopped by {signal.Signals(outcome.stopped_by or 0).name}")
    else:
        code = _failed(job, outcome, code or 1, peers)
    return code, asked


def run() -> int:
    """Run the job and return its exit code: the program's own, or 128 + a signal's number, as in a shell.

    A failure's reason goes to /opt/ml/output/failure (unless the program wrote one) and to the log; SIGTERM and SIGINT
    go to the program, whose end is then no failure.
    """
    supervisor = Supervisor()
    supervisor.listen()  # first of all: PID 1 loses a signal that it has no handler for
    started = time.time()
    paths = MLPaths.from_environment()
    _remove_stale(paths)
    try:
        plan = _plan(paths)
    except UserError as error:
        _write_reason(paths, Mask(os.environ)(str(error)))
        raise
    mask = Mask(os.environ, decoded(plan.hyperparameters))
    peers = _watch_others(plan, supervisor)
    job = RunningJob(paths, plan.program or BUILT_IN, plan.cluster, supervisor.tail, OomCount.read(), mask)
    copier = intermediate_output.start(intermediate_output.output_location(plan.hyperparameters))
    code, asked = _run_to_end(job, plan, supervisor, peers, started)
    intermediate_output.finish(copier, _COPY_AFTER_STOP_SECONDS if asked and code else intermediate_output.END_SECONDS)
    return code
