"""The formats of a built-in model's responses, as one table.

A format is added by one entry of ``FORMATS`` and one function that writes a ``Prediction`` in it; the Accept header,
the message of a 406 and the default of SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT follow.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastai_serving.errors import ErrorCode
from fastai_serving.media_types import items, media_type, quality
from fastai_serving.responses import CSV, JSON, JSON_LINES, PNG, RequestError, Response, echo


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    ``content``: see ``prediction``; ``draw`` makes a PNG that explains it, where there is a picture to draw on.
    """

    content: dict[str, Any]
    draw: Callable[[], bytes] | None = None


def _json(said: Prediction) -> bytes:
    return json.dumps(said.content, ensure_ascii=False).encode()


def _json_lines(said: Prediction) -> bytes:
    return _json(said) + b"\n"


def _csv(said: Prediction) -> bytes:
    """A row for each class, the best first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("class", "confidence"))
    writer.writerows((item["class"], item["confidence"]) for item in said.content["predictions"])
    return text.getvalue().encode()


def _png(said: Prediction) -> bytes:
    assert said.draw is not None, "encode refuses what can't be drawn"
    return said.draw()


@dataclass(frozen=True)
class ResponseFormat:
    """How a prediction is written.

    ``aliases``: other names that an Accept header may give it; ``content_type``: what the response says it is, where
    that is more than the media type; ``needs_picture``: whether it draws on the picture that was sent.
    """

    media_type: str
    encode: Callable[[Prediction], bytes]
    aliases: tuple[str, ...] = ()
    content_type: str = ""
    needs_picture: bool = False


#: In the order in which a wildcard takes them.
FORMATS = (
    ResponseFormat(JSON, _json),
    ResponseFormat(JSON_LINES, _json_lines, aliases=("application/jsonl",)),
    # Without a charset, clients take text for Latin-1. JSON is UTF-8 by its definition.
    ResponseFormat(CSV, _csv, content_type="text/csv; charset=utf-8"),
    ResponseFormat(PNG, _png, needs_picture=True),
)
_BY_NAME = {name: known for known in FORMATS for name in (known.media_type, *known.aliases)}


def choose_format(accept: str, default: str = JSON) -> ResponseFormat:
    """Choose the best of our formats for an Accept header (RFC 9110, section 12.5.1).

    Raises RequestError 406 when none is acceptable.
    """
    if accept.strip() in ("", "*/*"):
        accept = default
    wanted: dict[str, float] = {}
    specificity: dict[str, int] = {}
    for part in items(accept, ","):
        kind, parameters = media_type(part)
        weight = quality(parameters)
        matches = [_BY_NAME[kind].media_type] if kind in _BY_NAME else []
        rank = 2
        if kind in ("*/*", "*"):
            matches, rank = [known.media_type for known in FORMATS], 0
        elif kind.endswith("/*"):
            matches, rank = [known.media_type for known in FORMATS if known.media_type.startswith(kind[:-1])], 1
        for name in matches:
            # The more specific range wins, whatever its place in the list.
            if rank >= specificity.get(name, -1):
                wanted[name], specificity[name] = weight, rank
    # A stable sort: formats of one quality stay in our order.
    acceptable = [known for known in FORMATS if wanted.get(known.media_type, 0) > 0]
    if not acceptable:
        names = ", ".join(known.media_type for known in FORMATS)
        raise RequestError(ErrorCode.NOT_ACCEPTABLE, f"can't answer as {echo(accept)}; accept one of {names}")
    return min(acceptable, key=lambda known: -wanted[known.media_type])


def prediction(probabilities: Any, vocab: list[str], count: int) -> dict[str, Any]:
    """Say what probabilities (classes,) mean: the most probable class and the best ``count``.

    Raises RequestError 500 for what is no number, which JSON can't say.
    """
    if not math.isfinite(float(probabilities.sum())):
        raise RequestError(
            ErrorCode.INTERNAL_ERROR, "the model's answer to this picture is no number (NaN or infinite)"
        )
    order = probabilities.argsort()[::-1][:count]
    best = [{"class": vocab[index], "confidence": round(float(probabilities[index]), 6)} for index in order]
    return {"class": best[0]["class"], "confidence": best[0]["confidence"], "predictions": best}


def encode(said: Prediction, chosen: ResponseFormat) -> Response:
    """Write a prediction in one of our formats. Raises RequestError 406 where there is no picture to draw on."""
    if chosen.needs_picture and said.draw is None:
        raise RequestError(ErrorCode.NOT_ACCEPTABLE, "this model's script reads the input itself; a PNG can't be made")
    return Response(chosen.encode(said), chosen.content_type or chosen.media_type)
