"""Train fastai vision models on Amazon SageMaker and serve them: what users' scripts import (docs/python.md).

Importing it is cheap and needs neither fastai nor torch. What trains needs
them, and says so where they are missing; ``load_manifest`` and ``predict`` run in the serving image too.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastai_container import __version__
from fastai_container.errors import ExportError, ModelFolderError, PictureError, TrainingNeededError, UserError

if TYPE_CHECKING:
    from fastai_container.model_folder import ModelManifest
    from fastai_sagemaker.inference import Prediction, load_manifest, predict
    from fastai_sagemaker.learners import build_learner, check_learner, export_model, loader_workers

__all__ = [
    "ExportError",
    "ModelFolderError",
    "ModelManifest",
    "PictureError",
    "Prediction",
    "TrainingNeededError",
    "UserError",
    "__version__",
    "build_learner",
    "check_learner",
    "export_model",
    "load_manifest",
    "loader_workers",
    "predict",
]

#: Imported when they are asked for: the images' entry point is in this package too, and PID 1 needs none of NumPy.
_PLACES = {
    "ModelManifest": "fastai_container.model_folder",
    "Prediction": "fastai_sagemaker.inference",
    "load_manifest": "fastai_sagemaker.inference",
    "predict": "fastai_sagemaker.inference",
    "build_learner": "fastai_sagemaker.learners",
    "check_learner": "fastai_sagemaker.learners",
    "export_model": "fastai_sagemaker.learners",
    "loader_workers": "fastai_sagemaker.learners",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
