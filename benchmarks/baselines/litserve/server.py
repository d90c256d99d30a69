"""LitServe with a worker for each core and batches of up to 8."""
# No `from __future__ import annotations`: LitServe reads the annotation of decode_request itself, not its text.

import os
from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.baselines import predictor


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = predictor.load()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Any:
        return self.model.read(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return list(inputs)

    def predict(self, x: Any) -> Any:
        return self.model.predict(x)

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    # a millisecond to wait for company: longer would be added to every answer when there is one client
    api = Classifier(max_batch_size=8, batch_timeout=0.001, api_path="/invocations")
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=int(os.environ["BASELINE_WORKERS"]), timeout=60
    )
    server.run(host="127.0.0.1", port=int(os.environ["BASELINE_PORT"]), generate_client_file=False, log_level="warning")
