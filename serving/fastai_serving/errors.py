"""The codes of every error that a client gets, in one table.

The front end's own are in ErrorCode.java of ``mms_plugin`` too, and serving/README.md shows them all; a unit test
compares the three. ``python -m fastai_serving.errors`` prints the table for the README.
"""

from __future__ import annotations

from enum import Enum


class ErrorCode(str, Enum):
    """A machine-readable code, the HTTP status it goes with, and what it means to a client.

    Two codes may go with another status: ``script_error`` with that of the script's exception, ``error`` with that of
    multi-model-server.
    """

    BAD_ARRAY = "bad_array", 400, "a script's model takes numbers, and the body holds none"
    BAD_CSV = "bad_csv", 400, "the body is no CSV with rows of one length"
    BAD_CUSTOM_ATTRIBUTE = (
        "bad_custom_attribute",
        400,
        "`X-Amzn-SageMaker-Custom-Attributes` has a `top_k` that is no whole number from 1 up, or two that differ",
    )
    BAD_JSON = "bad_json", 400, "the body is no JSON, or its lists are not of one shape"
    BAD_MODEL_NAME = "bad_model_name", 400, "a multi-model endpoint takes no model of this name"
    BAD_NPY = "bad_npy", 400, "the body is no array in NumPy's format"
    BAD_REQUEST = (
        "bad_request",
        400,
        "the request is no valid HTTP, and the connection is closed; or the body of `POST /models`, or a parameter of "
        "`GET /models`, is not what is expected",
    )
    BAD_TEXT = "bad_text", 400, "the body is said to be text and is not UTF-8"
    BAD_URL = "bad_url", 400, "the `url` of `POST /models` is no folder below the one that holds the models"
    EMPTY_BODY = "empty_body", 400, "the request has no body"
    NOT_AN_IMAGE = (
        "not_an_image",
        400,
        "the body is no picture in a format that is read here; the message says what it seems to be",
    )
    TOO_COMPLEX = "too_complex", 400, "the picture would keep a core busy for too long; see below"
    TOO_MANY_PIXELS = "too_many_pixels", 400, "the picture has more pixels than are taken; see below"
    TRUNCATED = "truncated", 400, "the picture is cut short or damaged"
    UNSUPPORTED_DEPTH = (
        "unsupported_depth",
        400,
        "the picture does not say which of its values are black and white; see below",
    )
    MODEL_NOT_FOUND = "model_not_found", 404, "no model of this name is loaded, or there is no folder to load it from"
    NOT_FOUND = "not_found", 404, "there is nothing at this path"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "this path has other methods, which `Allow` lists"
    NOT_ACCEPTABLE = "not_acceptable", 406, "`Accept` names no format that the response can have"
    REQUEST_TIMEOUT = "request_timeout", 408, "the request did not arrive in time; the connection is closed"
    ALREADY_LOADED = "already_loaded", 409, "a model of this name is loaded, or is being loaded or unloaded"
    TOO_LARGE = "too_large", 413, "the body is larger than `SAGEMAKER_MAX_PAYLOAD_IN_MB` allows"
    URI_TOO_LONG = "uri_too_long", 414, "the request's first line is too long; the connection is closed"
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        415,
        "the `Content-Type` is not one that is read here, or the body has a `Content-Encoding`",
    )
    EXPECTATION_FAILED = (
        "expectation_failed",
        417,
        "`Expect` asks for more than `100-continue`; the connection is closed",
    )
    HEADERS_TOO_LARGE = "headers_too_large", 431, "the request's headers are too large; the connection is closed"
    ERROR = "error", 500, "multi-model-server refused the request, with the status that it chose"
    INTERNAL_ERROR = "internal_error", 500, "the server failed; its log has the reason"
    LOAD_FAILED = "load_failed", 500, "a multi-model endpoint could not load the model; the message has the reason"
    SCRIPT_ERROR = (
        "script_error",
        500,
        "the model's script raised an exception, or returned what can't be sent; an exception's `status_code` "
        "(400 to 599) is kept",
    )
    BUSY = "busy", 503, "the queue, its memory or the number of connections is at its limit; try again"
    LOADING = "loading", 503, "the model is being loaded"
    NO_WORKER = "no_worker", 503, "no worker is up; they are being started again"
    STOPPING = "stopping", 503, "the server is stopping; send the request to another one"
    WORKER_LOST = "worker_lost", 503, "the worker ended while it had this request; try again"
    TIMEOUT = "timeout", 504, "the model did not respond in time"
    HTTP_VERSION_NOT_SUPPORTED = (
        "http_version_not_supported",
        505,
        "the request is neither HTTP/1.1 nor HTTP/1.0; the connection is closed",
    )
    ANSWER_TOO_LARGE = "answer_too_large", 507, "the model's response is larger than can be sent"
    OUT_OF_MEMORY = "out_of_memory", 507, "there was not enough memory for this request, or is not for one more model"

    status: int
    meaning: str

    def __new__(cls, code: str, status: int, meaning: str) -> ErrorCode:
        member = str.__new__(cls, code)
        member._value_, member.status, member.meaning = code, status, meaning
        return member


def table() -> str:
    """Write the codes as serving/README.md has them, by their status."""
    rows = (f"| {known.status} | `{known.value}` | {known.meaning} |" for known in ErrorCode)
    return "\n".join(("| status | code | what it means |", "|---|---|---|", *rows))


if __name__ == "__main__":
    print(table())
