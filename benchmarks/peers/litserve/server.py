"""LitServe with a worker for each core and batches of up to 8."""

from __future__ import annotations

import os
from typing import Any

import litserve
from fastapi import Request

from benchmarks.peers import predictor


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = predictor.load()

    async def decode_request(self, request: Request) -> Any:
        return await request.body()

    def batch(self, inputs: list[bytes]) -> list[Any]:
        return [self.model.read(body) for body in inputs]

    def predict(self, x: Any) -> Any:
        return self.model.predict(x)

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    # a millisecond to wait for company: longer would be added to every answer when there is one client
    api = Classifier(max_batch_size=8, batch_timeout=0.001, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)), timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="warning")
