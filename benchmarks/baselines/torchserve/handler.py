"""TorchServe's handler; config.properties (benchmarks/servers.py) asks for a worker for each core and batches of 8."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.baselines import predictor


class Handler:
    def __init__(self) -> None:
        self.model: Any = None
        self.initialized = False

    def initialize(self, _context: Any) -> None:
        self.model = predictor.load()
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], _context: Any) -> list[str]:
        bodies = [bytes(row.get("body") or row["data"]) for row in data]
        return [json.dumps(answer) for answer in self.model.predict([self.model.read(body) for body in bodies])]
