"""Copy /opt/ml/output/intermediate to S3 while a job runs, as sagemaker-training does.

A process of its own (``python -m fastai_training.job.intermediate_output``), so that PID 1 needs no boto3. It prints
``ready`` once it watches the folder, and ends by itself after one of the files success and failure is there.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from fastai_container.sagemaker import S3_OUTPUT
from fastai_training.config_files import decoded_value

READY = "ready"
START_SECONDS, END_SECONDS = 60, 60


def output_location(hyperparameters: Mapping[str, Any]) -> str:
    """Where SageMaker's SDK says that output goes to ("" for nowhere)."""
    return str(decoded_value(hyperparameters.get(S3_OUTPUT)) or "")


def start(location: str) -> subprocess.Popen[str] | None:
    """Start the copying to ``location`` and wait until it watches; None where there is nothing to copy to."""
    if not location.startswith("s3://"):
        return None
    copier = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastai_training.job.intermediate_output", location],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert copier.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(copier.stdout, selectors.EVENT_READ)
        if selector.select(START_SECONDS):
            copier.stdout.readline()
    return copier


def finish(copier: subprocess.Popen[str] | None, seconds: float = END_SECONDS) -> None:
    """Wait for the last files to be copied, but not longer than ``seconds``."""
    if copier is None:
        return
    try:
        copier.wait(seconds)
    except subprocess.TimeoutExpired:
        copier.kill()
    if copier.stdout is not None:
        copier.stdout.close()


def main(location: str) -> int:
    from sagemaker_training import intermediate_output, params

    region = os.environ.get("AWS_REGION", os.environ.get(params.REGION_NAME_ENV))
    try:
        process = intermediate_output.start_sync(location, region, endpoint_url=os.environ.get(params.S3_ENDPOINT_URL))
    except Exception as error:  # boto3's many: training can do without
        print(f"the intermediate output can't be copied to {location}: {error}", file=sys.stderr, flush=True)
        return 1
    print(READY, flush=True)
    if process is not None:
        process.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
