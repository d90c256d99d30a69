"""The limit: processes that decode pictures and run batches, with no server. Started by benchmarks/serving.py.

``python -m benchmarks.bare MODEL PICTURES``, then a JSON object a line on its standard input: ``size`` (500x375),
``batch``, ``seconds``, ``full`` (decode every pixel). It answers with one: pictures a
second, times, classes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.model_folder import read_model
from fastai_container.pictures import center_square, open_picture
from fastai_serving.runtime import load_runtime


def main(folder: Path, pictures: Path) -> None:
    model = read_model(folder)
    runtime = load_runtime(folder, model, 1, None)
    bodies: dict[str, list[tuple[str, bytes]]] = {
        place.name: [(path.name, path.read_bytes()) for path in sorted(place.glob("*.jpg"))]
        for place in sorted(pictures.iterdir())
    }
    print("ready", flush=True)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
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
            rows = runtime.predict(np.stack(pixels))
            classes |= {name: model.vocab[row.argmax()] for (name, _), row in zip(chosen, rows, strict=True)}
            seconds.append(time.perf_counter() - started)
        whole = time.perf_counter() - begin
        print(json.dumps({"per_second": position / whole, "seconds": seconds, "classes": classes}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
