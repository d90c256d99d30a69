"""`make test`, `make check` and `make clean`."""

from __future__ import annotations

import shutil

from fastai_local import native_endpoint
from fastai_local.endpoint import stop_containers
from fastai_local.engine import Engine, find_engine
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.images import build_images, remove_images
from fastai_local.native import DEV_EXTRAS, ensure_environment
from fastai_local.process import say, stream
from fastai_local.runtime import choose_runtime
from fastai_local.settings import Settings

SCRIPTS = (
    ".ci/run",
    "build_and_push.sh",
    "docker/install-packages.sh",
    "docker/requirements/lock.sh",
    "docker/normalize-mtimes.sh",
    "docker/trim.sh",
)


def test_command(settings: Settings) -> int:
    """Builds the images when an engine answers, then runs pytest; its exit code is ours."""
    engine = choose_runtime(settings)
    if engine is None and settings.require_engine:
        raise EngineUnavailableError("REQUIRE_ENGINE=1, but there is no engine to use: the line above says why")
    python = ensure_environment(settings, DEV_EXTRAS)
    if engine:
        build_images(settings, engine)
    return stream([python, "-m", "pytest", *settings.args], cwd=settings.root)


def check_command(settings: Settings) -> int:
    """Runs the linter, the formatter's check and the type checker; all of them, even if one finds something."""
    # with everything installed: what the type checker finds depends on the packages that it sees
    python = ensure_environment(settings, DEV_EXTRAS)
    failed = []
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        say("check: " + " ".join(command))
        if stream([python, "-m", *command], cwd=settings.root) != 0:
            failed.append(" ".join(command))
    say("check: shellcheck")
    # its package is the program alone, no module
    if stream([python.parent / "shellcheck", *SCRIPTS], cwd=settings.root) != 0:
        failed.append("shellcheck")
    if failed:
        raise LocalError(f"these found something, see above: {', '.join(failed)}")
    return 0


def clean_command(settings: Settings) -> int:
    """Stops the endpoints and removes build/; with IMAGES=1 the images too."""
    native_endpoint.stop_all(settings.build)
    try:
        engine: Engine | None = find_engine()
    except EngineUnavailableError as reason:
        if settings.remove_images:
            raise LocalError(f"IMAGES=1, but {reason}") from reason
        engine = None
    if engine:
        stop_containers(engine)
    try:
        shutil.rmtree(settings.build)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise LocalError(
            f"{error.filename} can't be removed ({error.strerror}): another user's? sudo make clean"
        ) from None
    say("clean: build/ is gone")
    if engine and settings.remove_images:
        remove_images(engine)
        say("clean: the images are gone")
    return 0
