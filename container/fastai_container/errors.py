"""Errors that are the user's to mend: their text is shown as it is, without a traceback."""

import os
import unicodedata
from pathlib import Path


class UserError(Exception):
    """Something the user can mend; the message says what was wrong and what to do."""


class ModelFolderError(UserError):
    """A model folder that is missing, half-written, damaged or of another version."""


def unreadable(path: Path | str) -> str:
    """What to tell a user about a file that this process has no right to read."""
    return (
        f"{path} can't be read by user {os.getuid()}: allow it (chmod -R a+rX), or start the container as another "
        'user; in local mode of the SageMaker SDK, whose folders nobody else can read: container_config {"user": "0"}'
    )


#: Control characters, invisible ones that change how a text is read, lone surrogates, ends of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """``text`` on one line: what is no visible character in it (a line's end, an escape code) as its escape; tabs stay.

    Names and messages from outside could otherwise pass for lines of our own, or change what a terminal shows.
    """
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode("ascii")
        if unicodedata.category(char) in _INVISIBLE and char != "\t"
        else char
        for char in text
    )


class PictureError(ValueError):
    """A picture that can't be used.

    ``code``: not_an_image, truncated, too_many_pixels, too_complex (it would take too long to decode) or
    unsupported_depth (its values have a range that the file doesn't say).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
