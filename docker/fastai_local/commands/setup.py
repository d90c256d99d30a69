"""``make engine``, ``make base`` and ``make build``: what training and serving need on this machine."""

from __future__ import annotations

from fastai_local.choose_runtime import choose_runtime
from fastai_local.install_engine import ensure_engine
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("engine", "", "installs and starts a Docker engine (Debian, Ubuntu; root)")
def engine_command(_: Settings) -> int:
    """Leave an engine that answers and builds."""
    ensure_engine()
    return 0


@command("base", "", "gets the base image: the registry's, or made from Debian's packages (root)")
def base_command(settings: Settings) -> int:
    """Get the base image."""
    choose_runtime(settings).ensure_base()
    return 0


@command("build", "", "builds both images", "DEVICE=cpu|gpu", "BASE_IMAGE=...")
def build_command(settings: Settings) -> int:
    """Build the images, or install the environment of plain processes."""
    choose_runtime(settings).build()
    return 0
