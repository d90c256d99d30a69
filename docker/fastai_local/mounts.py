"""Folders of this machine inside a container."""

from __future__ import annotations

import csv
import io
from pathlib import Path


def mount(source: Path, target: str, *, read_only: bool = False) -> list[str]:
    """Return the option of a bind mount, as CSV, since a path can hold a comma (or a colon, which -v can't)."""
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] if read_only else [])]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return ["--mount", text.getvalue()]
