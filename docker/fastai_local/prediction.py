"""One picture to an endpoint on this machine."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path

from fastai_local.errors import LocalError, UsageError
from fastai_local.ports import address

RESPONSE_SECONDS = 60  # as on SageMaker
CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def require_picture(path: Path | None) -> Path:
    """Raise ``UsageError`` unless there is such a file, of a kind that endpoints take."""
    if path is None:
        raise UsageError("PICTURE is missing: name one, as in PICTURE=picture.jpg")
    if path.is_dir():
        raise UsageError(f"PICTURE={path} is a folder: name one picture")
    if not path.is_file():
        raise UsageError(f"PICTURE={path}: there is no such file")
    if path.suffix.lower() not in CONTENT_TYPES:
        raise UsageError(f"PICTURE={path}: its ending names no picture format; known are {' '.join(CONTENT_TYPES)}")
    return path


def message_of(body: bytes) -> str:
    """Return the sentence in an error's body."""
    text = body.decode(errors="replace").strip()
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(text.split())[:500] or "no message"


def predict(path: Path, port: int) -> str:
    """Return the endpoint's response as JSON on one line. Raise ``LocalError``."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise LocalError(f"PICTURE={path} can't be read: {error.strerror}") from None
    request = urllib.request.Request(  # noqa: S310 - the scheme is ours
        f"{address(port)}/invocations",
        data=body,
        headers={"Content-Type": CONTENT_TYPES[path.suffix.lower()], "Accept": "application/json"},
    )
    try:
        with _opener.open(request, timeout=RESPONSE_SECONDS) as response:
            return json.dumps(json.loads(response.read()), ensure_ascii=False)
    except urllib.error.HTTPError as error:
        raise LocalError(f"the endpoint answered {error.code}: {message_of(error.read())}") from None
    except TimeoutError:
        raise LocalError(f"no answer on port {port} in {RESPONSE_SECONDS} seconds: see the endpoint's log") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            raise LocalError(f"nothing listens on port {port}: start an endpoint with make serve MODEL=") from None
        raise LocalError(f"the endpoint on port {port} can't be reached: {error.reason}") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise LocalError(f"port {port} gave no proper answer ({error}): is it an endpoint of make serve?") from None
