from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastai_container import torchvision_ops

#: A torch whose operators' library loads, or not, and that ends the process when something is declared twice.
TORCH = """
import pathlib, types
declared = {declared!r}
class Library:
    def __init__(self, *_):
        pass
    def define(self, schema):
        print("DEFINED", schema.partition("(")[0])
def load_library(path):
    print("LOADED", pathlib.Path(path).name)
    if {fails}:
        raise OSError("libcudart.so.13: cannot open shared object file")
ops = types.SimpleNamespace(load_library=load_library, torchvision=types.SimpleNamespace(**declared))
library = types.SimpleNamespace(Library=Library)
from fastai_container.torchvision_ops import register
register()
"""


def test_torchvision_imports_after_torch():
    pytest.importorskip("torch")
    script = "import torch, torchvision, torch.ops; torch.ops.torchvision.nms; print('ok')"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "ok", result.stderr


def said(folder: Path, libraries: list[str], *, fails: bool, declared: list[str] | None = None) -> list[str]:
    """What an import of the stand-in for torch says, beside a torchvision with these files."""
    (folder / "torchvision").mkdir()
    for name in ("__init__.py", *libraries):
        (folder / "torchvision" / name).touch()
    (folder / "torch.py").write_text(TORCH.format(fails=fails, declared=dict.fromkeys(declared or [], 1)))
    path = [str(folder), *(str(Path(torchvision_ops.__file__).parents[1]),)]
    script = f"import sys; sys.path[:0] = {path!r}; import torch"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("library", ["_C.so", "_C_stable.so", "_C.cpython-311-x86_64-linux-gnu.so"])
def test_operators_that_load_are_left_alone(tmp_path: Path, library: str):
    assert said(tmp_path, [library, "image.so", "image_stable.so"], fails=False) == [f"LOADED {library}"]


@pytest.mark.parametrize("library", ["_C.so", "_C_stable.so"])
def test_operators_that_do_not_load_are_declared(tmp_path: Path, library: str):
    assert said(tmp_path, [library, "image.so"], fails=True) == [f"LOADED {library}", "DEFINED nms", "DEFINED qnms"]


@pytest.mark.parametrize("libraries", [[], ["operators.so", "image.so"]])
def test_without_a_library_that_is_known_nothing_is_declared(tmp_path: Path, libraries: list[str]):
    assert said(tmp_path, libraries, fails=True) == []


def test_what_is_declared_already_is_left_alone(tmp_path: Path):
    assert said(tmp_path, ["_C.so"], fails=True, declared=["nms"]) == ["LOADED _C.so", "DEFINED qnms"]


def test_without_torchvision_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert torchvision_ops.find_libraries() == []
