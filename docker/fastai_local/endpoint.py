"""What starting an endpoint asks for: a model folder, a port, and who has that port already."""

from __future__ import annotations

from pathlib import Path

from fastai_local import contract
from fastai_local.choose_runtime import available_runtimes
from fastai_local.errors import LocalError, UsageError
from fastai_local.folders import require_folder
from fastai_local.ports import free_port, port_is_free
from fastai_local.process import say
from fastai_local.runtime import Runtime
from fastai_local.settings import Settings


def require_model(model: Path | None) -> Path:
    """Return the folder of a trained model. Raise ``UsageError`` with what was found instead."""
    folder = require_folder("MODEL", model, "name a model folder, as in MODEL=build/train/model")
    if (folder / contract.MANIFEST).is_file():
        return folder
    if (folder / contract.MODEL / contract.MANIFEST).is_file():
        raise UsageError(f"MODEL={folder} is a job's folder: pass its model, MODEL={folder / contract.MODEL}")
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    if "model.tar.gz" in names:
        raise UsageError(f"MODEL={folder} holds model.tar.gz: unpack it into a folder and pass that")
    nothing = f"has no {contract.MANIFEST} (it holds {found})"
    raise UsageError(f"MODEL={folder} {nothing}: pass the folder that training wrote")


def who_serves(settings: Settings, port: int) -> str | None:
    """Return our endpoint on that port in words, whichever way it runs."""
    runtimes = available_runtimes(settings)
    return next((found for runtime in runtimes if (found := runtime.serving_on(port))), None)


def require_port(settings: Settings, port: int) -> None:
    """Raise ``LocalError`` when the port is taken; say so if it is by an endpoint of ours."""
    if port_is_free(port):
        return
    ours = who_serves(settings, port)
    if ours:
        raise LocalError(f"port {port} already has an endpoint of ours ({ours}): run `make stop`, or pass PORT=")
    raise LocalError(f"port {port} is in use by another program: pass another PORT=, such as PORT={free_port()}")


def serve(settings: Settings, runtime: Runtime, model: Path, port: int) -> None:
    """Start an endpoint and wait until it is ready. Raise ``LocalError`` when it can't be."""
    require_port(settings, port)
    say(f"serve: starting on port {port}")
    runtime.serve(model, port)
