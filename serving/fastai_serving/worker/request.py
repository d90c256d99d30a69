"""One request to a model, and the log's lines about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fastai_serving import logs

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
REQUEST_ID = "x-request-id"


@dataclass(frozen=True)
class Request:
    """Header names are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    content_type: str
    accept: str

    @property
    def attributes(self) -> str:
        """The client's X-Amzn-SageMaker-Custom-Attributes."""
        return self.headers.get(CUSTOM_ATTRIBUTES, "")


def log_failure(request: Request, error: BaseException) -> None:
    """Write the error and where it came from into the log, with the request's id."""
    token = logs.request_id.set(request.headers.get(REQUEST_ID, ""))
    try:
        logger.error("the request failed", exc_info=error)
    finally:
        logs.request_id.reset(token)
