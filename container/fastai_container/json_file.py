"""Read JSON that somebody else wrote; whatever is wrong with it is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError, unreadable


class JsonError(UserError):
    """JSON that can't be read; the message says what of, and why."""


#: Lists and objects in each other; nothing that a job is given needs more, and more than Python's own limit breaks it.
MAX_DEPTH = 64


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{name[:60]!r} is given twice in one object")
        result[name] = value
    return result


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        if not inner:
            return False
        level = [item for items in inner for item in items]
    return True


def parse_json(text: bytes | str, name: object, *, unique: bool = False) -> Any:
    """Parse ``text``. Bytes may be UTF-8, with a byte order mark or without, UTF-16 or UTF-32.

    Raises JsonError, in which ``name`` says what was read: when it is no JSON, is nested deeper than MAX_DEPTH, or,
    with ``unique``, an object has one name twice (the first value would be lost without a word).
    """
    plain = text.removeprefix("\ufeff") if isinstance(text, str) else text
    try:
        value = json.loads(plain, object_pairs_hook=_object if unique else None)
        if _is_deep(value):
            raise RecursionError
    except RecursionError:
        raise JsonError(f"{name} is no usable JSON: it is nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError as error:
        raise JsonError(
            f"{name} is not valid JSON: it is not {error.encoding.upper()} text; save it as UTF-8"
        ) from None
    except ValueError as error:
        raise JsonError(f"{name} is not valid JSON ({error})") from None
    return value


def read_json(path: Path) -> Any:
    """Read the file ``path``; None when it is empty. Raises JsonError, also when it can't be read."""
    try:
        content = path.read_bytes()
    except PermissionError:
        raise JsonError(unreadable(path)) from None
    except OSError as error:
        raise JsonError(f"{path} can't be read: {error.strerror}") from None
    return parse_json(content, path, unique=True) if content.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe") else None


def read_object(path: Path) -> dict[str, Any]:
    """Read the object in the file ``path``; {} when there is no such file or it is empty. Raises JsonError."""
    value = read_json(path) if path.exists() else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        kinds = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
        raise JsonError(f"{path} must hold a JSON object of names and values, it holds {kinds[type(value)]}")
    return value
