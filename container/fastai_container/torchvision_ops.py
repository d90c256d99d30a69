"""Make torchvision's wheel from the package index importable beside a CPU build of torch.

That wheel is built for CUDA; its compiled operators can't load without CUDA's libraries, and ``import torchvision``
then fails on the missing schema of ``torchvision::nms``. Declaring the two schemas that its Python code refers to is
enough for everything but these operators (object detection). torch calls ``register`` by itself when it is imported
(entry point group ``torch.backends``), so it also holds in a user's own script.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: Any = None  # the declarations live as long as this object


def _operators_load() -> bool:
    """Whether torchvision's compiled operators match this torch, judged without importing torchvision."""
    import torch

    try:
        files = metadata.distribution("torchvision").files or []
    except metadata.PackageNotFoundError:
        return True  # nothing to mend
    libraries = [Path(str(file.locate())) for file in files if file.name.startswith("_C.") and "image" not in file.name]
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except (OSError, RuntimeError):
        return False
    return bool(libraries)


def register() -> None:
    """Declare the operators' schemas unless torchvision's own library can."""
    global _library
    import torch

    if _library is not None or _operators_load():
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS.values():
        _library.define(schema)
