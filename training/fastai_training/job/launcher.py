"""Get a training program ready, then become it (``python -m fastai_training.job.launcher``); torchrun for several.

A process of its own below PID 1: downloads and installations are logged, stopped and explained as the program is, and
the program takes this process's place, so that it gets signals itself and its exit code is the job's.
"""

from __future__ import annotations

import errno
import os
import sys

from fastai_container.errors import UserError, printable
from fastai_container.paths import MLPaths
from fastai_container.resources import visible_gpu_count
from fastai_container.sagemaker import TORCHRUN
from fastai_training import console
from fastai_training.config_files import decoded, read_hyperparameters
from fastai_training.console import log_printable as log
from fastai_training.job.hosts import Cluster
from fastai_training.job.user_script import Program, ScriptError, prepare, program_of


def _builtin(paths: MLPaths) -> Program:
    module = ["-m", "fastai_training"]
    return Program(
        [sys.executable, "-P", *module], module, paths.base if paths.base.is_dir() else paths.base.parent, {}
    )


def ready(paths: MLPaths) -> Program:
    """The program to become, torchrun's where it runs more than once. Raises UserError."""
    hyperparameters = read_hyperparameters(paths.config)
    cluster = Cluster.read(paths.config)
    scripted = bool(program_of(hyperparameters, os.environ))
    program = prepare(paths, log) if scripted else _builtin(paths)
    cluster.wait_for_names(log)
    settings = decoded(hyperparameters)
    wanted = not scripted or any(settings.get(name) for name in TORCHRUN)
    processes = max(1, visible_gpu_count())
    environment = cluster.network_environment() | program.environment
    if len(cluster.hosts) * processes == 1 or not wanted:
        if len(cluster.hosts) > 1:
            log(f"{len(cluster.hosts)} hosts, each runs the script once; {TORCHRUN[0]}=true would run it by torchrun")
            environment |= cluster.meeting_point(os.environ)
        return Program(program.command, program.python, program.code, environment)
    if program.python is None:
        raise ScriptError("torchrun runs a Python program; set sagemaker_program to a .py file")
    if len(cluster.hosts) == 1:
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if not scripted:
        # Our package is found by its own path; the working directory's files must not shadow it.
        environment["PYTHONSAFEPATH"] = "1"
    log(f"torchrun: {len(cluster.hosts)} hosts, {processes} processes on each; this is {cluster.current}")
    return Program(cluster.torchrun(processes, program.python), None, program.code, environment)


def main() -> int:
    """Become the program; comes back only when that can't be done, with an exit code."""
    try:
        program = ready(MLPaths.from_environment())
    except UserError as error:
        return _refuse(str(error))
    sys.stdout.flush()
    try:
        os.chdir(program.code)
        os.execvpe(program.command[0], program.command, os.environ | program.environment)  # noqa: S606
    except OSError as error:
        if error.errno == errno.E2BIG:
            return _refuse("the hyperparameters are too long for a command line; pass large values in a channel's file")
        if error.errno == errno.ENOEXEC:
            return _refuse(f"{program.command[0]} is no program; begin a script with a line such as #!/bin/sh")
        return _refuse(f"{program.command[0]} can't be started: {error.strerror}")


def _refuse(reason: str) -> int:
    console.error(printable(reason))
    return 1


if __name__ == "__main__":
    sys.exit(main())
