from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.job import launcher


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLPaths:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.delenv("SAGEMAKER_PROGRAM", raising=False)
    paths = MLPaths(tmp_path)
    paths.config.mkdir(parents=True)
    return paths


def test_on_one_gpu_the_trainer_runs_by_itself(paths: MLPaths, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert launcher.ready(paths).command[1:] == ["-P", "-m", "fastai_training"]


def test_on_several_gpus_torchrun_starts_it(paths: MLPaths, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    program = launcher.ready(paths)
    assert "torch.distributed.run" in program.command
    assert "--nproc-per-node=3" in program.command
    assert program.command[-2:] == ["-m", "fastai_training"]
    assert program.environment["PYTHONSAFEPATH"] == "1"
    assert capsys.readouterr().out == "torchrun: 1 hosts, 3 processes on each; this is algo-1\n"


def test_what_can_not_be_used_is_an_error_and_no_traceback(paths: MLPaths, capsys):
    (paths.config / "resourceconfig.json").write_text(json.dumps({"hosts": 3}))
    assert launcher.main() == 1
    assert capsys.readouterr().err.startswith("error: ")
