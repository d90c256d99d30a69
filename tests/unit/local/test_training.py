from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local import training as subject
from fastai_local.errors import LocalError, UsageError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.settings import Settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my, pictures: 2"
    folder.mkdir()
    return folder


def test_a_wrong_channel_is_named_by_its_variable(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="VALIDATION="):
        subject.channels_of(Settings(data=data, validation=tmp_path / "gone"))
    channels = subject.channels_of(Settings(data=data, weights=tmp_path))
    assert channels == {"training": data, "weights": tmp_path}


def test_out_that_is_a_file_or_read_only_is_an_error(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"OUT=.*is a file"):
        subject.train(Settings(data=data), NativeRuntime(Settings()), tmp_path / "file")


def test_the_error_is_the_jobs_own_sentence_and_code(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("two classes are needed, found 1\n")
    error = subject.report_failure(tmp_path, 3)
    assert str(error) == "training failed: two classes are needed, found 1"
    assert error.exit_code == 3


def test_a_job_that_left_no_reason(tmp_path: Path) -> None:
    assert "no reason" in str(subject.report_failure(tmp_path, 1))
    assert "memory" in str(subject.report_failure(tmp_path, 137))


class Ended(NativeRuntime):
    """A runtime whose jobs end with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(Settings())
        self.code = code

    def train(self, out: Path, channels) -> int:
        assert (out / "input" / "config" / "inputdataconfig.json").is_file()
        return self.code


def test_a_job_is_laid_out_before_it_runs_and_its_code_is_the_errors(tmp_path: Path, data: Path) -> None:
    subject.train(Settings(data=data), Ended(0), tmp_path / "out")
    with pytest.raises(LocalError, match="training failed") as caught:
        subject.train(Settings(data=data), Ended(3), tmp_path / "out")
    assert caught.value.exit_code == 3
