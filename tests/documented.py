"""The snippets of docs/python.md, and pictures to run them on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
#: A training script, and what reads and asks the model.
SCRIPT, READ = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
#: Runs what follows as if these packages were not installed.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {lacking!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.split(".")[0] in {lacking!r} else found(name, *more)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own, where our packages are found."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def write_pictures(folder: Path, count: int = 60) -> Path:
    """Two class folders that a network tells apart at once, dark and light, of ``count`` pictures each."""
    draws = np.random.default_rng(0)
    for name, least in (("dark", 0), ("light", 150)):
        (folder / name).mkdir()
        for number in range(count):
            pixels = draws.integers(least, least + 100, (120, 100, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
