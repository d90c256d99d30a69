"""``make demo``: data, training, an endpoint and one response, with nothing asked of the user."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fastai_local import contract
from fastai_local.choose_runtime import choose_runtime
from fastai_local.endpoint import serve
from fastai_local.errors import LocalError
from fastai_local.folders import require_folder
from fastai_local.ports import free_port
from fastai_local.prediction import predict
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.runtime import Runtime
from fastai_local.samples import OWN_DATA, sample_data
from fastai_local.settings import Settings
from fastai_local.training import train


def held_out_picture(out: Path, data: Path) -> Path:
    """Return the first JPEG that training kept apart. Raise ``LocalError``."""
    listing = out / contract.VALIDATION_LIST
    try:
        with listing.open(encoding="utf-8", newline="") as file:
            names = [row["file"] for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise LocalError(f"{listing} does not list the held-out pictures ({error})") from None
    for name in names:
        if name.lower().endswith((".jpg", ".jpeg")) and (data / name).is_file():
            return data / name
    raise LocalError(f"{listing} lists no JPEG: the demo sends one")


def validation_error(out: Path) -> float:
    """Return the error rate on the held-out pictures. Raise ``LocalError``."""
    try:
        manifest = json.loads((out / contract.MODEL / contract.MANIFEST).read_text(encoding="utf-8"))
        return float(manifest[contract.METRICS][contract.ERROR_RATE])
    except (OSError, ValueError, KeyError, TypeError) as error:
        missing = f"{contract.METRICS}.{contract.ERROR_RATE}"
        raise LocalError(f"{out / contract.MODEL} holds no {missing}: {error!r}") from None


def run_demo(settings: Settings, runtime: Runtime) -> str:
    """Return the endpoint's response to one held-out picture, as one line of JSON. Raise ``LocalError``."""
    work = settings.build / "demo"
    if settings.data:
        data: Path = require_folder("DATA", settings.data, "name a folder of pictures")
        hyperparameters: Mapping[str, str] = OWN_DATA
    else:
        data, hyperparameters = sample_data(runtime, work / "data")
    out = work / "job"
    shutil.rmtree(out, ignore_errors=True)
    job = replace(settings, data=data, hyperparameters={**hyperparameters, **settings.hyperparameters})
    say("demo: training with " + " ".join(f"{name}={value}" for name, value in job.hyperparameters.items()))
    train(job, runtime, out)
    say(f"demo: validation error {validation_error(out):.1%}")
    picture = held_out_picture(out, data)
    port = settings.port or free_port()
    serve(settings, runtime, out / contract.MODEL, port)
    try:
        say(f"demo: sending {picture}, which training has not seen")
        response = predict(picture, port)
    finally:
        runtime.stop(port)
    say("demo: endpoint stopped; the model is in " + str(out / contract.MODEL))
    return response


@command("demo", "", "trains, serves and predicts on sample data or", "DATA=folder")
def demo_command(settings: Settings) -> int:
    """Run the demo; its last line is the response."""
    if settings.data:
        require_folder("DATA", settings.data, "name a folder of pictures")
    runtime = choose_runtime(settings)
    runtime.build()
    say(run_demo(settings, runtime))
    return 0
