"""``make serve``: an endpoint on this machine."""

from __future__ import annotations

from fastai_local.choose_runtime import choose_runtime
from fastai_local.endpoint import require_model, serve
from fastai_local.ports import address
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("serve", "MODEL=folder", "starts an endpoint with a trained model, OUT/model", "PORT=8080")
def serve_command(settings: Settings) -> int:
    """Start an endpoint, and say how to use it."""
    model = require_model(settings.model)
    port = settings.listen_port
    serve(settings, choose_runtime(settings), model, port)
    shown = "" if settings.port is None else f" PORT={port}"
    say(f"endpoint: {address(port)} (GET /ping, POST /invocations)")
    say(f"try it: make predict PICTURE=picture.jpg{shown}")
    say("stop it: make stop")
    return 0
