"""`make demo`: data, training, an endpoint and one answer, with nothing asked of the user."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fastai_local import native_endpoint
from fastai_local.endpoint import container_name, free_port, serve
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.images import build_images, image_name
from fastai_local.job import mount, require_folder, train
from fastai_local.native import ensure_environment
from fastai_local.predict import predict
from fastai_local.process import say, tee
from fastai_local.runtime import choose_runtime
from fastai_local.settings import Settings

OWN_DATA = {"arch": "efficientnet_lite0", "epochs": "2"}
SAMPLE_FOLDER = "/sample"


def sample_data(settings: Settings, engine: Engine | None, folder: Path) -> tuple[Path, dict[str, str]]:
    """Gets pictures to train on; returns their folder and the hyperparameters that suit them. Raises LocalError."""
    folder.mkdir(parents=True, exist_ok=True)
    module = ["-m", "fastai_training.sample_data"]
    if engine:
        command = engine.command("run", "--rm", *engine.user_args(os.getuid(), os.getgid()), *engine.label_args())
        if settings.network:
            command += ["--network", settings.network]
        command += [*mount(folder, SAMPLE_FOLDER), image_name("training", settings.device)]
        command += ["python3", *module, SAMPLE_FOLDER]
    else:
        command = [str(ensure_environment(settings)), *module, str(folder)]
    code, last = tee(command)
    if code != 0:
        raise LocalError(f"no sample data (exit code {code}, see above): pass DATA=your/pictures")
    try:
        found = json.loads(last)
        place, hyperparameters = Path(found["data"]), {k: str(v) for k, v in found["hyperparameters"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalError(f"fastai_training.sample_data said {last!r}, not what it got") from error
    if engine and place.is_absolute():
        place = place.relative_to(SAMPLE_FOLDER)
    say(f"demo: the data set is {found.get('name', 'a sample')}")
    return folder / place, hyperparameters


def held_out_picture(out: Path, data: Path) -> Path:
    """The first JPEG that training kept apart. Raises LocalError."""
    listing = out / "output" / "data" / "validation.csv"
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
    """The error rate on the held-out pictures. Raises LocalError."""
    try:
        model = json.loads((out / "model" / "model.json").read_text(encoding="utf-8"))
        return float(model["metrics"]["error_rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalError(f"{out / 'model'} holds no metrics.error_rate: {error!r}") from None


def stop_endpoint(settings: Settings, engine: Engine | None, port: int) -> None:
    if engine:
        name = container_name(port)
        engine.capture("stop", "--time", "30", name, timeout=60)
        engine.capture("rm", "--force", name)
    else:
        native_endpoint.stop(settings.build, port)


def run_demo(settings: Settings, engine: Engine | None) -> str:
    """The endpoint's answer to one held-out picture, as one line of JSON. Raises LocalError."""
    work = settings.build / "demo"
    if settings.data:
        data: Path = require_folder("DATA", settings.data, "name a folder of pictures")
        hyperparameters: Mapping[str, str] = OWN_DATA
    else:
        data, hyperparameters = sample_data(settings, engine, work / "data")
    out = work / "job"
    shutil.rmtree(out, ignore_errors=True)
    job = replace(settings, data=data, hyperparameters={**hyperparameters, **settings.hyperparameters})
    say("demo: training with " + " ".join(f"{name}={value}" for name, value in job.hyperparameters.items()))
    train(job, engine, out)
    say(f"demo: validation error {validation_error(out):.1%}")
    picture = held_out_picture(out, data)
    port = settings.port or free_port()
    serve(settings, engine, out / "model", port)
    try:
        say(f"demo: sending {picture}, which training has not seen")
        answer = predict(picture, port)
    finally:
        stop_endpoint(settings, engine, port)
    say("demo: endpoint stopped; the model is in " + str(out / "model"))
    return answer


def demo_command(settings: Settings) -> int:
    """`make demo`."""
    if settings.data:
        require_folder("DATA", settings.data, "name a folder of pictures")
    engine = choose_runtime(settings)
    if engine:
        build_images(settings, engine)
    else:
        ensure_environment(settings)
    answer = run_demo(settings, engine)
    say(answer)
    return 0
