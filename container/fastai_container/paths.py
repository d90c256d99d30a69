"""The layout of /opt/ml, as SageMaker mounts it (CONTRACT: "Training" and "Inference").

``SAGEMAKER_BASE_DIR`` names another folder to stand for /opt/ml, as it does for SageMaker's own toolkits; that is
how everything runs natively, without a container.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

BASE_DIR_ENV = "SAGEMAKER_BASE_DIR"
#: Where the image's build puts the files of docker/weights.
BAKED_WEIGHTS = Path(os.environ.get("FASTAI_SAGEMAKER_WEIGHTS") or "/opt/fastai-sagemaker/weights")
#: The first so many characters of the failure file are the FailureReason that a user sees.
FAILURE_REASON_LENGTH = 1024


@dataclass(frozen=True)
class MLPaths:
    """The folders below ``base``; nothing is created by asking for one."""

    base: Path

    @classmethod
    def from_environment(cls) -> MLPaths:
        return cls(Path(os.environ.get(BASE_DIR_ENV) or "/opt/ml"))

    @property
    def config(self) -> Path:
        return self.base / "input" / "config"

    @property
    def data(self) -> Path:
        """Holds one folder for each input channel."""
        return self.base / "input" / "data"

    @property
    def code(self) -> Path:
        return self.base / "code"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        return self.base / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.base / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    def write_failure(self, reason: str) -> None:
        """Write ``reason`` where SageMaker reads a job's FailureReason from."""
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(reason[:FAILURE_REASON_LENGTH], encoding="utf-8")
