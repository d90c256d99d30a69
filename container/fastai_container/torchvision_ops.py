"""Make torchvision's wheel from the package index importable beside a CPU build of torch.

That wheel is built for CUDA; its compiled operators can't load without CUDA's libraries, and ``import torchvision``
then fails on the missing schema of ``torchvision::nms``. Declaring the two schemas that its Python code refers to is
enough for everything but these operators (object detection). torch calls ``register`` by itself when it is imported
(entry point group ``torch.backends``), so it also holds in a user's own script.

A job may bring a torch and torchvision of its own, newer than any that is known here. Declaring what a library declares
too ends the process, so nothing is declared unless torchvision's own library was found and can't load.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: Any = None  # the declarations live as long as this object


def find_libraries() -> list[Path]:
    """The libraries of operators in the torchvision that an import would take, without importing it.

    They are called ``_C.so``, or ``_C_stable.so`` from torchvision 0.29 on; no operator of ``image.so`` is missed.
    """
    try:
        spec = importlib.util.find_spec("torchvision")
    except (ImportError, ValueError):
        return []
    folders = (spec.submodule_search_locations if spec else None) or []
    return [library for folder in folders for library in sorted(Path(folder).glob("_C*.so"))]


def all_fail(libraries: list[Path], load: Callable[[str], object]) -> bool:
    """Whether there is a library, and ``load`` can load none."""
    for library in libraries:
        try:
            load(str(library))
        except (OSError, RuntimeError):
            continue
        return False
    return bool(libraries)


def register() -> None:
    """Declare the operators' schemas where torchvision's own library can't load."""
    global _library
    import torch

    if _library is not None or not all_fail(find_libraries(), torch.ops.load_library):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _library = library
