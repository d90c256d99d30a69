from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.user_code import packages


@pytest.fixture
def pip(monkeypatch):
    """What pip was called with; it makes nothing, and fails where the requirements name ``broken``."""
    calls: list[list[str]] = []
    real = subprocess.run

    def run(command, **options):
        if "pip" not in command:
            return real(command, **options)
        calls.append(command)
        text = Path(command[-1]).read_text()
        return subprocess.CompletedProcess(
            command, int("broken" in text), "", "a\nERROR: no https://u:secret@x broken\n"
        )

    monkeypatch.setattr(packages.subprocess, "run", run)
    return calls


def write(folder: Path, text: str) -> Path:
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def test_pip_is_not_asked_for_what_is_there(tmp_path: Path, pip):
    assert packages.install(write(tmp_path, "numpy\npillow>=1\n"), tmp_path / "target") is None
    assert pip == []
    where = packages.install(write(tmp_path, "numpy\nmissing-one\n"), tmp_path / "target")
    assert where is not None
    assert where.is_relative_to(tmp_path / "target")
    assert len(pip) == 1
    assert Path(pip[0][-1]).read_text().splitlines() == ["-c satisfied.txt", "missing-one"]


def test_an_index_that_cannot_be_reached(tmp_path: Path, monkeypatch):
    def run(command, **_):
        said = "WARNING: Retrying after NameResolutionError\nERROR: No matching distribution found for x\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(packages, "_overlay", lambda target: "python")
    monkeypatch.setattr(packages.subprocess, "run", run)
    with pytest.raises(UserError, match="No matching distribution found for x; the package index can't be reached"):
        packages.install(write(tmp_path, "missing-one"), tmp_path / "target")


def test_what_pip_says_is_one_line_without_credentials(tmp_path: Path, pip):
    with pytest.raises(UserError, match=r"can't install .*requirements.txt: .*broken") as caught:
        packages.install(write(tmp_path, "broken"), tmp_path / "target")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["fastai", "fastai>=2.7", "torch==99", "Torch_Vision @ https://example.com/x.whl".replace("_", ""), "timm[x]",
     "git+https://github.com/fastai/fastai.git@main", "git+https://github.com/fastai/fastai#egg=fastai"],
)  # fmt: skip
def test_the_serving_image_refuses_what_brings_torch(tmp_path: Path, monkeypatch, pip, line: str):
    from fastai_container import requirements

    monkeypatch.setattr(requirements, "_is_satisfied", lambda *_: False)
    monkeypatch.setattr(packages, "is_serving_image", lambda: True)
    with pytest.raises(UserError, match="the training image"):
        packages.install(write(tmp_path, line), tmp_path / "target")
    assert pip == []
    monkeypatch.setattr(packages, "is_serving_image", lambda: False)
    packages.install(write(tmp_path, line), tmp_path / "target")
    assert len(pip) == 1


def test_a_model_of_many_is_installed_once_for_what_lies_beside_it(tmp_path: Path, pip):
    (tmp_path / "code").mkdir()
    (tmp_path / "state").mkdir()
    path = write(tmp_path / "code", "missing-one")
    first = packages.install_once(path, tmp_path / "state")
    assert packages.install_once(path, tmp_path / "state") == first
    assert len(pip) == 1
    (tmp_path / "code" / "mine.whl").write_text("new")
    assert packages.install_once(path, tmp_path / "state") != first
    assert len(pip) == 2
    assert packages.install_once(write(tmp_path / "code", "numpy"), tmp_path / "state") is None
    with pytest.raises(UserError):
        packages.install_once(write(tmp_path / "code", "broken"), tmp_path / "state")
    assert len(list((tmp_path / "state" / "packages").iterdir())) == 2


def test_what_was_imported_before_is_named(tmp_path: Path):
    assert packages.late(tmp_path) == []
    for name, module in (("other-pytest", "pytest"), ("fresh", "fresh_module")):
        folder = tmp_path / f"{name}-99.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")
        (folder / "RECORD").write_text(f"{module}/__init__.py,,\n{folder.name}/METADATA,,\n")
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").touch()  # since Python 3.12 a file that isn't there is not listed
    assert packages.late(tmp_path) == [
        "other-pytest 99.0 was installed for the script, but the server had imported its own pytest before, which stays"
    ]
