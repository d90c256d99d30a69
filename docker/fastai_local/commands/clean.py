"""``make clean``: removes what the other commands made."""

from __future__ import annotations

import shutil

from fastai_local.choose_runtime import find_docker_runtime
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.images import remove_images
from fastai_local.native_runtime import NativeRuntime
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("clean", "", "stops the endpoints and removes build/", "IMAGES=1: and the images")
def clean_command(settings: Settings) -> int:
    """Stop the endpoints and remove build/; with ``IMAGES=1`` the images too."""
    NativeRuntime(settings).stop_all()
    docker = None
    try:
        docker = find_docker_runtime(settings)
        docker.stop_all()
    except EngineUnavailableError as reason:
        if settings.remove_images:
            raise LocalError(f"IMAGES=1, but {reason}") from reason
    try:
        shutil.rmtree(settings.build)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise LocalError(
            f"{error.filename} can't be removed ({error.strerror}): another user's? sudo make clean"
        ) from None
    say("clean: build/ is gone")
    if docker and settings.remove_images:
        remove_images(docker.engine)
        say("clean: the images are gone")
    return 0
