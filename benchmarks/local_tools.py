"""What the benchmarks use of the local commands: nothing else here imports ``fastai_local``, or names the engine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from fastai_local.job import link_channels, write_tree
from fastai_local.native import ensure_side_environment
from fastai_local.settings import Settings

__all__ = ["ENGINE", "engine", "link_channels", "side_environment", "write_tree"]

#: The engine's command line.
ENGINE = "docker"


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the engine and capture what it prints. Raises CalledProcessError if ``check`` is set."""
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=check)


def side_environment(name: str, requirements: Path, **options: Any) -> Path:
    """Make or update build/``name``, an environment of its own; returns its Python."""
    return ensure_side_environment(Settings(), name, requirements, **options)
