"""The Docker engine that tests run on, and the images that `make build` made."""

from __future__ import annotations

import os

import docker

from tests.conftest import missing

#: Another tag can be tested by naming it.
TRAINING_IMAGE = os.environ.get("TRAINING_IMAGE") or "fastai-sagemaker-training:cpu"
SERVING_IMAGE = os.environ.get("SERVING_IMAGE") or "fastai-sagemaker-serving:cpu"


def docker_client(*images: str) -> docker.DockerClient:
    """A client of an engine that has ``images``; without one the test is skipped, or fails where REQUIRE_ENGINE=1."""
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except docker.errors.DockerException as error:
        missing(f"no Docker engine answers ({error}); `make doctor` says how to get one", "REQUIRE_ENGINE")
        raise  # not reached: missing() ends the test
    for image in images:
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            missing(f"there is no image {image}; run `make build`", "REQUIRE_ENGINE")
    return client
