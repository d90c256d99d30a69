"""What to tell a user about an error of a script that has a known cure."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator

from fastai_container import old_fastai
from fastai_container.errors import UserError

logger = logging.getLogger(__name__)

#: What the training image has for scripts and the serving image has not.
TRAINING_PACKAGES = frozenset({"fastai", "fastcore", "fasttransform", "timm", "torch", "torchvision"})
TRAINING_IMAGE = "the training image (fastai-sagemaker-training)"


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported; nothing is imported to find out."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def is_serving_image() -> bool:
    """Whether this is the image that serves alone: it has our code for serving and none for training."""
    return not is_installed("fastai_training")


def hint(error: BaseException, script: str) -> str | None:
    """One sentence on ``error``, which ``script`` raised; None where there is nothing to add to its own words."""
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").partition(".")[0]
        if missing in TRAINING_PACKAGES and not is_installed(missing):
            if is_serving_image():
                return f"{script} needs {missing}, which the serving image has not: serve it with {TRAINING_IMAGE}"
            return f"{script} needs {missing}, which is not installed here"
    known = old_fastai.sentence(error)
    if known is not None:
        return f"{script}: {known}"
    if isinstance(error, ModuleNotFoundError) and missing and not is_installed(missing):
        return (
            f"{script} imports {missing}, which is not installed: name its package in a requirements.txt beside the "
            "script, or put the module itself there"
        )
    return hint(error.__cause__, script) if error.__cause__ is not None else None


@contextlib.contextmanager
def explained(script: str) -> Iterator[None]:
    """Errors of ``script`` while it is loaded: a UserError where we know what to do, else as they are."""
    try:
        yield
    except Exception as error:
        sentence = hint(error, script)
        if sentence is None:
            raise
        logger.debug("%s", sentence, exc_info=error)
        raise UserError(sentence) from error
