"""One request to a model, whose headers are read once; and the log's lines about it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastai_serving import logs, media_types
from fastai_serving.errors import ErrorCode
from fastai_serving.response_formats import ResponseFormat, choose_format
from fastai_serving.responses import JSON, RequestError, echo

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
REQUEST_ID = "x-request-id"
#: Content types under which a picture is taken; what it really is, its bytes say.
PICTURE_TYPES = frozenset(
    f"image/{name}"
    for name in (
        *("jpeg", "jpg", "pjpeg", "jpe", "jfif", "x-jpeg", "x-jpg", "x-citrix-jpeg", "pipeg"),
        *("png", "x-png", "apng", "vnd.mozilla.apng", "x-citrix-png"),
        *("webp", "x-webp", "gif", "x-gif", "x-citrix-gif"),
        *("bmp", "x-bmp", "x-ms-bmp", "x-windows-bmp", "vnd.microsoft.bmp"),
        *("tiff", "tif", "x-tiff", "x-tif"),
        *("x-portable-pixmap", "x-portable-graymap", "x-portable-bitmap", "x-portable-anymap"),
        "*",
    )
) | {"application/x-image", "application/octet-stream", "binary/octet-stream"}  # the last is what S3 says by itself
_WHOLE_NUMBER = re.compile(r"0*([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Request:
    """A request as it came, and what its headers say, each read when it is first asked for and then kept.

    Header names are in lower case. ``default_accept`` stands for an empty Accept, and for ``*/*``. Custom attributes:
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
    """

    headers: Mapping[str, str]
    body: bytes
    content_type: str
    accept: str
    default_accept: str = JSON

    @cached_property
    def media_type(self) -> str:
        """What the body is said to be, in lower case and without parameters."""
        return media_types.media_type(self.content_type)[0]

    @cached_property
    def response_format(self) -> ResponseFormat:
        """The best of our formats for the client. Raises RequestError 406."""
        return choose_format(self.accept, self.default_accept)

    @cached_property
    def _asked_top_k(self) -> list[str]:
        """The values of ``top_k`` in X-Amzn-SageMaker-Custom-Attributes, as they were written."""
        parts = self.headers.get(CUSTOM_ATTRIBUTES, "").replace(";", ",").split(",")
        pairs = (part.partition("=") for part in parts)
        return [value.strip() for name, _, value in pairs if name.strip().lower() == "top_k"]

    def top_k(self, classes: int) -> int:
        """How many classes the client wants; all ``classes`` where it doesn't say, or says more.

        Raises RequestError 400 for a value that is no whole number from 1 up, and for two that differ.
        """
        found = set()
        for value in self._asked_top_k:
            match = _WHOLE_NUMBER.fullmatch(value)
            if match is None:
                said = f"top_k={echo(value)} must be a whole number from 1 to {classes}"
                raise RequestError(ErrorCode.BAD_CUSTOM_ATTRIBUTE, said)
            found.add(int(match.group(1)))
        if len(found) > 1:
            raise RequestError(
                ErrorCode.BAD_CUSTOM_ATTRIBUTE, f"top_k is given {len(found)} times, with different values"
            )
        return min(classes, *found) if found else classes

    def check_is_picture(self) -> None:
        """Raises RequestError 415 unless the Content-Type is that of a picture."""
        kind = self.media_type
        if kind in PICTURE_TYPES:
            return
        said = f"Content-Type {echo(kind)} is not supported" if kind else "the request has no Content-Type"
        if kind == "application/x-www-form-urlencoded":
            said += " (curl says so unless it is told: -H 'Content-Type: image/jpeg')"
        raise RequestError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            f"{said}; send one picture as the body, as image/jpeg, image/png or image/webp",
        )


def log_failure(request: Request, error: BaseException) -> None:
    """Write the error and where it came from into the log, with the request's id."""
    token = logs.request_id.set(request.headers.get(REQUEST_ID, ""))
    try:
        logger.error("the request failed", exc_info=error)
    finally:
        logs.request_id.reset(token)
