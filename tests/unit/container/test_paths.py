from __future__ import annotations

from pathlib import Path

from fastai_container.paths import MLPaths


def test_the_folders_are_those_that_sagemaker_mounts(monkeypatch):
    monkeypatch.delenv("SAGEMAKER_BASE_DIR", raising=False)
    paths = MLPaths.from_environment()
    found = [paths.config, paths.data, paths.model, paths.output_data, paths.failure, paths.checkpoints, paths.code]
    names = ["input/config", "input/data", "model", "output/data", "output/failure", "checkpoints", "code"]
    assert found == [Path("/opt/ml", name) for name in names]


def test_another_folder_may_stand_for_opt_ml(monkeypatch, tmp_path):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert MLPaths.from_environment() == MLPaths(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failures_reason_is_cut_where_sagemaker_would_cut_it(tmp_path):
    MLPaths(tmp_path).write_failure("é" * 2000)
    assert (tmp_path / "output" / "failure").read_text(encoding="utf-8") == "é" * 1024
