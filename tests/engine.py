"""The Docker engine that tests run on, and the images that `make build` made."""

from __future__ import annotations

import functools
import os

import docker

from fastai_local.engine import Engine, find_engine
from fastai_local.errors import EngineUnavailableError
from tests.conftest import missing

#: Another tag can be tested by naming it.
TRAINING_IMAGE = os.environ.get("TRAINING_IMAGE") or "fastai-sagemaker-training:cpu"
SERVING_IMAGE = os.environ.get("SERVING_IMAGE") or "fastai-sagemaker-serving:cpu"


@functools.cache
def _found() -> Engine | str:
    """The engine, or why there is none: asked once, since one that doesn't answer costs its whole time limit."""
    try:
        engine = find_engine()
        docker.from_env(timeout=60).ping()  # may be another than the command's: no `docker context` here
    except EngineUnavailableError as reason:
        return str(reason)
    except docker.errors.DockerException as error:
        return f"no Docker engine answers ({error})"
    return engine


def require_engine() -> Engine:
    """The engine of this machine; without one the test is skipped, or fails where REQUIRE_ENGINE=1."""
    engine = _found()
    if isinstance(engine, str):
        missing(f"{engine}; `make doctor` says how to get one", "REQUIRE_ENGINE")
        raise AssertionError("missing() ends the test")
    return engine


def docker_client(*images: str) -> docker.DockerClient:
    """A client of an engine that has ``images``; without one the test is skipped, or fails where REQUIRE_ENGINE=1."""
    require_engine()
    client = docker.from_env(timeout=300)
    for image in images:
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            missing(f"there is no image {image}; run `make build`", "REQUIRE_ENGINE")
    return client
