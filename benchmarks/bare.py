"""The limit: processes that decode pictures and run batches, with no server. Started by benchmarks/serving.py.

``python -m benchmarks.bare MODEL build/bench-model``, then a JSON object a line on its standard input: ``size``
(500x375), ``batch``, ``seconds``, ``full`` (decode every pixel), ``alone`` (use every core). It answers with one:
pictures a second, times, classes; or, for ``stages``, the parts of a lone request.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import pictures_of
from fastai_container.model_folder import ModelManifest, read_manifest
from fastai_container.pictures import center_square, open_picture
from fastai_serving.response_formats import Prediction, choose_format, encode, prediction
from fastai_serving.worker.backends import Backend, load_backend


def stages(model: ModelManifest, backend: Backend, bodies: list[tuple[str, bytes]], most: float) -> dict[str, float]:
    """Median milliseconds of each part of a lone request, as serving's worker does them."""
    found: dict[str, list[float]] = {}
    end = time.perf_counter() + most
    while time.perf_counter() < end:
        for _, body in bodies:
            times = [time.perf_counter()]
            image = open_picture(body, model.image_size)
            times.append(time.perf_counter())
            pixels = np.asarray(center_square(image, model.image_size))
            times.append(time.perf_counter())
            row = backend.predict(pixels[None])[0]
            times.append(time.perf_counter())
            encode(Prediction(prediction(row, model.vocab, len(model.vocab))), choose_format("application/json"))
            times.append(time.perf_counter())
            for name, begin, after in zip(("decode", "resize", "forward", "JSON"), times, times[1:], strict=False):
                found.setdefault(name, []).append(after - begin)
    return {name: 1000 * statistics.median(values) for name, values in found.items()}


def main(folder: Path, made: Path) -> None:
    facts = json.loads((made / "facts.json").read_text(encoding="utf-8"))
    model = read_manifest(folder)
    backend = load_backend(folder, model, 1, None, len(os.sched_getaffinity(0)))
    bodies: dict[str, list[tuple[str, bytes]]] = {
        size: [(picture.name, picture.body) for picture in pictures_of(made, size, facts["expected"])]
        for size in ("500x375", "1200x900", "4000x3000")
    }
    print("ready", flush=True)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        backend.set_busy_workers(1 if order.get("alone") or order.get("stages") else 2)
        if order.get("stages"):
            print(json.dumps(stages(model, backend, bodies[order["size"]], order["seconds"])), flush=True)
            continue
        known, batch = bodies[order["size"]], order["batch"]
        seconds: list[float] = []
        classes: dict[str, str] = {}
        position = 0
        begin = time.perf_counter()
        while (started := time.perf_counter()) - begin < order["seconds"] or not seconds:
            chosen = [known[(position + step) % len(known)] for step in range(batch)]
            position += batch
            side = None if order["full"] else model.image_size
            pixels = [np.asarray(center_square(open_picture(body, side), model.image_size)) for _, body in chosen]
            rows = backend.predict(np.stack(pixels))
            classes |= {name: model.vocab[row.argmax()] for (name, _), row in zip(chosen, rows, strict=True)}
            seconds.append(time.perf_counter() - started)
        whole = time.perf_counter() - begin
        print(json.dumps({"per_second": position / whole, "seconds": seconds, "classes": classes}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
