"""One line for each event, plain or JSON: FASTAI_SAGEMAKER_LOG_FORMAT; the level: SAGEMAKER_CONTAINER_LOG_LEVEL.

The supervisor writes whole lines. A worker's lines reach the log through the front end, which adds time and level
(standard output is INFO, standard error WARNING), so a worker writes the text alone.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from fastai_serving import bounded_output

#: The request whose line is being written.
request_id: ContextVar[str] = ContextVar("request_id", default="")


#: Characters of a line, of which the beginning says where and the end says what.
_HEAD, _TAIL = 2_000, 8_000


def _bounded(text: str) -> str:
    left_out = len(text) - _HEAD - _TAIL
    return text if left_out <= 0 else f"{text[:_HEAD]} … {left_out:,} characters … {text[-_TAIL:]}"


#: Ends of lines, and what a terminal would obey: a client's or a script's words must not forge a line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


class _Formatter(logging.Formatter):
    """Whatever an exception of a user's script is like, its line is written, and is not endless."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        try:
            return _bounded(super().formatException(ei))
        except Exception as error:
            return f"{ei[0].__name__} (its traceback can't be written: {type(error).__name__})"

    def format(self, record: logging.LogRecord) -> str:
        return _bounded(super().format(record))


class PlainFormatter(_Formatter):
    """``2026-11-22T10:00:00,000 INFO  supervisor text``, a traceback's line ends written as \\n."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.rpartition(".")[2]
        return f"{self.formatTime(record)} {record.levelname:<5} {name} {_one_line(super().format(record))}"


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        content = {"time": time, "level": record.levelname, "logger": record.name.rpartition(".")[2]}
        return json.dumps(content | {"message": super().format(record)}, ensure_ascii=False)


class WorkerFormatter(_Formatter):
    """The text on one line, after the request's id."""

    def format(self, record: logging.LogRecord) -> str:
        identity = request_id.get()
        return (f"[{identity}] " if identity else "") + _one_line(super().format(record))


class _Below(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING


def configure_supervisor(level: str, style: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def configure_worker(level: str) -> None:
    bounded_output.bound()
    out, err = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    out.addFilter(_Below())
    err.setLevel(logging.WARNING)
    for handler in (out, err):
        handler.setFormatter(WorkerFormatter())
    logging.basicConfig(level=level, handlers=[out, err], force=True)
