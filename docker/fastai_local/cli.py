"""The verbs behind the Makefile's targets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fastai_local import bench
from fastai_local.base import ensure_base
from fastai_local.checks import check_command, clean_command, test_command
from fastai_local.contents import sbom_command, size_command
from fastai_local.demo import demo_command
from fastai_local.doctor import doctor_command
from fastai_local.endpoint import serve_command, stop_command
from fastai_local.errors import UsageError, exit_code_of
from fastai_local.images import build_images
from fastai_local.install_engine import engine_command
from fastai_local.job import train_command
from fastai_local.local_mode import local_mode_command
from fastai_local.native import ensure_environment
from fastai_local.predict import predict_command
from fastai_local.process import say, stream
from fastai_local.runtime import choose_runtime
from fastai_local.settings import Settings

HELP = """\
fastai-sagemaker: train a fastai vision model and serve it, on this machine as on Amazon SageMaker.

  make help                    this list
  make doctor                  what this machine has and lacks for Docker and for plain processes, and how to get it
  make engine                  installs and starts a Docker engine (Debian, Ubuntu; root)
  make base                    gets the base image: the registry's, or made from Debian's packages (root)
  make build                   builds both images [DEVICE=cpu|gpu] [BASE_IMAGE=...]
  make train DATA=folder       trains on a folder of pictures [OUT=build/train] [HP="epochs=2 arch=resnet34"]
                               [VALIDATION=folder] [WEIGHTS=folder] [NETWORK=none]
  make serve MODEL=folder      starts an endpoint with a trained model, OUT/model [PORT=8080]
  make predict IMAGE=picture   sends a picture to the endpoint and prints its answer [PORT=8080]
  make stop                    stops the endpoints
  make demo                    all of it at once, on sample data or [DATA=folder]; the last line is the answer
  make local-mode              the same by the SageMaker Python SDK's local mode, on PETS_DIR, sample data or
                               [DATA=folder] [SDK=2|3] [HP="epochs=2"] [SCRIPT=examples/pets.py] [PORT=number]
                               [TRAINING_IMAGE=name SERVING_IMAGE=name]
  make sbom                    what the images hold and under which licences, as CycloneDX [OUT=build/sbom]
  make size                    the largest parts of the images
  make push                    builds both images and pushes them to Amazon ECR [DEVICE=cpu|gpu] [ARGS="--dry-run"]
  make test                    builds the images if there is an engine, and runs the tests [ARGS="-k name"]
  make check                   linter, formatter and type checker
  make bench-serving           measures requests a second and latency beside other servers [QUICK=1]
  make bench-start             measures the time from start to the first answer, and memory [QUICK=1]
  make bench-size              measures what the images weigh, beside what the other servers' environments do
  make bench-training          measures training beside plain fastai [QUICK=1]
  make bench-soak MODEL=folder honest clients beside hostile ones [MINUTES=60] [LIMIT=2g]
  make clean                   stops the endpoints and removes build/ [IMAGES=1: and the images]

RUNTIME=docker or RUNTIME=native (plain processes in build/venv) chooses how; unset, it is Docker when an engine
answers. DEVICE=gpu uses the gpu images. PYTHON= names another Python (3.10 or newer) to start with.
"""


def help_command(_: Settings) -> int:
    print(HELP, end="")
    return 0


def base_command(settings: Settings) -> int:
    engine = choose_runtime(settings)
    if engine:
        ensure_base(settings, engine)
    else:
        say("base: plain processes need no base image")
    return 0


def build_command(settings: Settings) -> int:
    engine = choose_runtime(settings)
    if engine:
        build_images(settings, engine)
    else:
        say(f"build: {ensure_environment(settings)} is ready")
    return 0


def push_command(settings: Settings) -> int:
    """./build_and_push.sh ARGS: a program of its own, since it needs boto3 and this one nothing but Python."""
    command = [sys.executable, "-m", "fastai_push", "--device", settings.device, *settings.args]
    return stream(command, cwd=settings.root)


VERBS: dict[str, Callable[[Settings], int]] = {
    "help": help_command,
    "doctor": doctor_command,
    "engine": engine_command,
    "base": base_command,
    "build": build_command,
    "train": train_command,
    "serve": serve_command,
    "predict": predict_command,
    "stop": stop_command,
    "demo": demo_command,
    "local-mode": local_mode_command,
    "sbom": sbom_command,
    "size": size_command,
    "push": push_command,
    "test": test_command,
    "check": check_command,
    "clean": clean_command,
    **{f"bench-{name}": partial(bench.run, name=name) for name in bench.NAMES},
}


def main(arguments: Sequence[str]) -> int:
    """Runs one verb; returns the exit code."""
    return exit_code_of(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in VERBS:
        raise UsageError(f"name one of {', '.join(VERBS)}")
    verb = arguments[0]
    settings = Settings() if verb == "help" else Settings.from_environment(os.environ, Path.cwd())
    return VERBS[verb](settings)
