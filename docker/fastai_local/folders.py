"""Folders that a variable names."""

from __future__ import annotations

from pathlib import Path

from fastai_local.errors import UsageError


def require_folder(variable: str, path: Path | None, example: str) -> Path:
    """Raise ``UsageError`` unless the variable names a folder that is there."""
    if path is None:
        raise UsageError(f"{variable} is missing: {example}")
    if not path.exists():
        raise UsageError(f"{variable}={path}: there is no such folder ({example})")
    if not path.is_dir():
        raise UsageError(f"{variable}={path} is not a folder ({example})")
    return path
