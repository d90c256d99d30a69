"""Media types in Content-Type and Accept (RFC 9110, sections 5.6, 8.3.1 and 12.5.1).

A header is read once from its beginning to its end, whatever it holds; nothing here takes longer than in proportion
to its length.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = re.compile(r"[ -~]*")
_QUALITY = re.compile(r"[0-9]{0,10}(\.[0-9]{0,10})?")
#: What lies between two separators; one within a quoted string is none. An unclosed quote reaches to the end.
_ITEMS = {separator: re.compile(rf'(?:[^{separator}"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL) for separator in (",", ";")}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def items(text: str, separator: str) -> list[str]:
    """The parts of a header's value between "," or ";", without the empty ones."""
    parts = (match.group().strip() for match in _ITEMS[separator].finditer(text))
    return [part for part in parts if part]


def printable(text: str) -> bool:
    """Whether ``text`` is printable ASCII alone: a header's value that breaks nothing that it is written into."""
    return _PRINTABLE.fullmatch(text) is not None


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """A header's media type in lower case, and its parameters with their names in lower case."""
    kind, _, rest = text.partition(";")
    parameters = {}
    for item in items(rest, ";"):
        name, _, value = item.partition("=")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(r"\1", value[1:-1])
        parameters[name.strip().lower()] = value
    return kind.strip().lower(), parameters


def quality(parameters: dict[str, str]) -> float:
    """The weight of a media range, 0 to 1; 0, not acceptable, for what is no number."""
    text = parameters.get("q", "1")
    if not _QUALITY.fullmatch(text) or text in ("", "."):
        return 0.0
    return min(1.0, float(text))


def _sendable(item: str) -> str | None:
    """A media range without its weight as a content type; None for one with a wildcard, and for what is none.

    Of its parameters stays what may stand in a content type.
    """
    kind, _, rest = item.partition(";")
    major, slash, minor = kind.strip().partition("/")
    if not slash or "*" in kind or not (_TOKEN.fullmatch(major) and _TOKEN.fullmatch(minor)):
        return None
    kept = [f"{major}/{minor}"]
    for parameter in items(rest, ";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            break  # what follows the weight is Accept's own
        quoted = len(value) > 1 and value[0] == value[-1] == '"' and printable(value)
        if _TOKEN.fullmatch(name) and (quoted or _TOKEN.fullmatch(value)):
            kept.append(parameter)
    return "; ".join(kept)


def content_type_for(accept: str) -> str | None:
    """The content type that the client would like best, by its Accept header; None when that names none."""
    best, weight = None, 0.0
    for item in items(accept, ","):
        found, wanted = _sendable(item), quality(media_type(item)[1])
        if found is not None and wanted > weight:
            best, weight = found, wanted
    return best
