"""A learner that fastai exported, as a model to go on from; it is a pickle, so opening it runs what it says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from fastai.vision.all import Learner, load_learner
from safetensors.torch import save_file

from fastai_container.errors import ExportError, UserError
from fastai_container.model_folder import WEIGHTS, ModelManifest, writing
from fastai_training.console import Log
from fastai_training.exporting.export import versions
from fastai_training.exporting.from_learner import architecture, image_size, statistics
from fastai_training.exporting.servable import check_learner, text_vocabulary
from fastai_training.quoting import shown


class LearnerError(UserError):
    """A learner's pickle that can't be opened here, or is of another task."""


def _load(pickle: Path) -> Learner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a pickle runs code is what the user was told
        try:
            learner: Any = load_learner(pickle)
        except Exception as error:  # whatever a pickle does
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise LearnerError(
                f"the learner {shown(pickle.name)} can't be opened: {reason}. It needs the versions and every function "
                "that it was exported with: call fastai_sagemaker.export_model in the environment that made it, and "
                "give that folder"
            ) from None
    if not isinstance(learner, Learner):
        raise LearnerError(f"{shown(pickle.name)} holds no fastai Learner but a {type(learner).__name__}")
    return learner


def write_exported(pickle: Path, folder: Path, say: Log) -> None:
    """Write weights and manifest of the exported learner ``pickle`` to ``folder``, without compiled models.

    Raises LearnerError when it can't be opened, or is no classifier of one class a picture.
    """
    learner = _load(pickle)
    try:
        check_learner(learner)
        mean, std = statistics(learner)
        vocab = text_vocabulary(list(learner.dls.vocab))
        details = ModelManifest(architecture(learner), vocab, image_size(learner), mean, std, versions=versions())
    except ExportError as error:
        raise LearnerError(f"the learner {shown(pickle.name)} can't be gone on from: {error}") from None
    say(f"the learner {shown(pickle.name)} was opened as unpickle=true says: {details.arch} of {len(vocab)} classes")
    with writing(folder, details) as partial:
        state = learner.model.float().state_dict().items()
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in state}, partial / WEIGHTS)
