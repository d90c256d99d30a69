"""What a training script calls says what it needs where nothing of training is installed."""

from __future__ import annotations

import pytest

from tests.documented import WITHOUT, run


@pytest.mark.parametrize(
    "call", ["export_model(None, 'm')", "check_learner(None)", "build_learner(None)", "loader_workers(8, 64)"]
)
def test_without_torch_what_trains_says_what_it_needs(call: str):
    code = (
        WITHOUT.format(lacking={"torch", "fastai"})
        + f"""
import fastai_sagemaker
try:
    fastai_sagemaker.{call}
except fastai_sagemaker.TrainingNeededError as error:
    print(error)
"""
    )
    done = run(code)
    assert done.stdout.startswith(f"{call.partition('(')[0]} needs fastai and torch, which this environment lacks"), (
        done
    )
    assert "training image" in done.stdout
