"""The layout of /opt/ml, as SageMaker mounts it (``sagemaker.py`` has the names and their sources).

``SAGEMAKER_BASE_DIR`` names another folder to stand for /opt/ml, as it does for SageMaker's own toolkits; that is
how everything runs natively, without a container.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fastai_container import sagemaker

#: Where the image's build puts the files of docker/weights.
BAKED_WEIGHTS = Path(os.environ.get("FASTAI_SAGEMAKER_WEIGHTS") or "/opt/fastai-sagemaker/weights")


@dataclass(frozen=True)
class MLPaths:
    """The folders below ``base``; nothing is created by asking for one."""

    base: Path

    @classmethod
    def from_environment(cls) -> MLPaths:
        return cls(Path(os.environ.get(sagemaker.BASE_DIR_ENV) or sagemaker.BASE_DIR))

    @property
    def config(self) -> Path:
        return self.base / sagemaker.CONFIG

    @property
    def data(self) -> Path:
        """Holds one folder for each input channel."""
        return self.base / sagemaker.INPUT_DATA

    @property
    def code(self) -> Path:
        return self.base / sagemaker.CODE

    @property
    def model(self) -> Path:
        return self.base / sagemaker.MODEL

    @property
    def output_data(self) -> Path:
        return self.base / sagemaker.OUTPUT_DATA

    @property
    def failure(self) -> Path:
        return self.base / sagemaker.FAILURE

    @property
    def checkpoints(self) -> Path:
        return self.base / sagemaker.CHECKPOINTS

    def write_failure(self, reason: str) -> None:
        """Write ``reason`` where SageMaker reads a job's FailureReason from."""
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(reason[: sagemaker.FAILURE_REASON_LENGTH], encoding="utf-8")
