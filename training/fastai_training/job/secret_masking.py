"""Keep secrets out of what this container writes: logs of hyperparameters and environment, and the failure reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

MASK = "******"
#: A name is a secret's when it has one of these words, or two of a pair side by side ("aws_access_key_id").
_WORDS = frozenset(
    {
        *("secret", "secrets", "password", "passwd", "passphrase", "pwd", "token", "credential", "credentials"),
        *("apikey", "accesskey", "secretkey", "privatekey", "authorization", "bearer"),
    }
)
_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("secret", "key"), ("private", "key"), ("account", "key"), ("auth", "key")}
)
#: The shell's own: a folder.
_HARMLESS = frozenset({"PWD", "OLDPWD"})
#: A shorter value occurs in any text by chance.
_SHORTEST = 5
#: Secrets that show by their form, wherever they stand; written so that no scanner takes them for what they find.
_FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Z0-9])A(?:KI|SI|RO|ID)A[A-Z0-9]{16}(?![A-Z0-9])",
        r"(?:g[h][pousr]_|git[h]ub_pat_|gl[p]at-|h[f]_|xo[x][abprs]-|s[k]-)[A-Za-z0-9_\-]{16,}",
        r"e[y]J[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
        r"-{5}BEGIN [A-Z ]*PRIVATE\sKEY-{5}[\s\S]*?(?:-{5}END [A-Z ]*PRIVATE\sKEY-{5}|$)",
        r"(?i)(?<=bearer )[A-Za-z0-9._~+/\-]{8,}=*",
        r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)",
        r"(?i)(?<=X-Amz-Signature=)[0-9a-f]+",
        r"(?i)(?<=X-Amz-Security-Token=)[^\s&]+",
    )
)
# "some_password=...", "apiToken: ...": the value after a name that says so.
_ASSIGNMENT = re.compile(r"""([A-Za-z][A-Za-z0-9_\-]*)(["']?\s?[=:]\s?|["']?\s?[=:]\s?["'])([^\s"',;&]+)""")


def is_secret_name(name: str) -> bool:
    """Whether the value of an environment variable or hyperparameter called ``name`` should not be shown."""
    if name in _HARMLESS:
        return False
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]
    return any(word in _WORDS for word in words) or any(pair in _PAIRS for pair in pairwise(words))


def _secret_values(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secret_values(inner, secret or is_secret_name(str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secret_values(inner, secret)
    elif secret and isinstance(value, str) and len(value) >= _SHORTEST and value.lower() != "false":
        yield value
        # A secret of several lines is quoted line by line in a traceback.
        yield from (line for line in value.splitlines() if len(line) >= _SHORTEST and line != value)


def masked(value: Any, name: str = "") -> Any:
    """``value`` with every secret in it replaced, by the name it has or the names inside it."""
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key)) for key, inner in value.items()}
    return MASK if is_secret_name(name) and value not in (None, "") else value


class Mask:
    """Replaces the secrets of ``sources`` (environment, hyperparameters) in a text; called with the text."""

    def __init__(self, *sources: Mapping[str, Any]) -> None:
        values = {value for source in sources for value in _secret_values(source, False)}
        # The longest first: one secret may be part of another.
        ordered = sorted(values, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(MASK, text)
        for form in _FORMS:
            text = form.sub(MASK, text)
        return _ASSIGNMENT.sub(
            lambda found: found[1] + found[2] + MASK if is_secret_name(found[1]) else found[0],
            text,
        )
