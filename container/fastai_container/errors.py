"""Errors the user can fix. Only the message is shown, never a traceback.

::

    UserError                 what was wrong, and what to do
    ├── ModelFolderError      a model folder that is missing, half-written, damaged or of another version
    ├── ExportError           a learner that can't be written as a model folder
    └── TrainingNeededError   a call that needs fastai and torch, which this environment lacks
    ValueError
    └── PictureError          a picture that can't be used; ``code`` says why

Modules add kinds of their own, such as ``HyperParameterError``, where something is done about that kind alone.
"""

import os
import unicodedata
from pathlib import Path


class UserError(Exception):
    """An error the user can fix; the message says what was wrong and what to do."""


class ModelFolderError(UserError):
    """A model folder that is missing, half-written, damaged or of another version."""


class ExportError(UserError):
    """A learner that can't be written as a model folder."""


class TrainingNeededError(UserError):
    """A call that needs fastai and torch, where they are not installed, as in the serving image."""


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
