"""A script that left the model's folder empty: where is what it wrote?

fastai writes beside the data unless it is told otherwise (``learn.export()`` in the lessons), and only what is in
/opt/ml/model outlives the job.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fastai_container.paths import MLPaths

_SUFFIXES = (".pkl", ".pth", ".pt", ".pt2", ".safetensors", ".onnx", ".bin", ".h5", ".joblib")
#: Files looked at, and named.
_LOOKED_AT, _NAMED = 20_000, 3
#: Folders of ours, or of libraries that were installed for the job.
_PASSED_OVER = frozenset({"__pycache__", ".cache", "site-packages"})


def _new_models(folder: Path, since: float) -> list[Path]:
    found: list[Path] = []
    looked = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
        for name in sorted(names):
            looked += 1
            path = Path(place, name)
            try:
                if name.endswith(_SUFFIXES) and path.lstat().st_mtime >= since:
                    found.append(path)
            except OSError:
                continue
        if looked > _LOOKED_AT:
            break
    return found


def warning(paths: MLPaths, since: float) -> str:
    """What to tell of a script that wrote nothing to the model's folder; "" when it did. ``since``: the job's start."""
    try:
        if any(path.is_file() for path in paths.model.rglob("*")):
            return ""
    except OSError:
        return ""
    # A file system's clock is a tick behind; more would take in a channel that arrived just before.
    places = dict.fromkeys((paths.base, paths.code, Path(tempfile.gettempdir())))
    found = list(dict.fromkeys(path for place in places for path in _new_models(place, since - 0.1)))
    begin = f"the script left {paths.model} empty: model.tar.gz holds nothing"
    end = 'write there, as learn.export(os.path.join(os.environ["SM_MODEL_DIR"], "export.pkl")) does'
    if not found:
        return f"{begin}; {end}"
    named = ", ".join(map(str, found[:_NAMED])) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
    return f"{begin}. It wrote {named}; {end}"
