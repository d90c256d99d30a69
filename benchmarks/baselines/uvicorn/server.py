"""A bare Starlette application: one request, one forward pass. uvicorn starts as many as there are cores."""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.baselines import predictor

model = predictor.load()


def work(body: bytes) -> bytes:
    return json.dumps(model.predict([model.read(body)])[0]).encode()


async def invocations(request: Request) -> Response:
    return Response(await run_in_threadpool(work, await request.body()), media_type="application/json")


async def ping(_: Request) -> Response:
    return Response("ok")


app = Starlette(routes=[Route("/invocations", invocations, methods=["POST"]), Route("/ping", ping)])
