"""``make predict``: one picture to an endpoint on this machine."""

from __future__ import annotations

from fastai_local.prediction import predict, require_picture
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("predict", "PICTURE=file", "sends a picture to the endpoint and prints its response", "PORT=8080")
def predict_command(settings: Settings) -> int:
    """Print the endpoint's response."""
    print(predict(require_picture(settings.picture), settings.listen_port))
    return 0
