from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("torch")


def test_torchvision_imports_after_torch():
    script = "import torch, torchvision, torch.ops; torch.ops.torchvision.nms; print('ok')"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "ok", result.stderr
