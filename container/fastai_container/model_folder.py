"""The model folder, version 1: what training leaves in /opt/ml/model and serving loads.

=====================  ==================================================================================
``model.json``         this format's version, the architecture, the vocabulary, how a picture is prepared,
                       metrics, versions of what made it, and size and SHA-256 of every file below
``model.safetensors``  the weights
``openvino/model.*``   the program for CPUs
``torch/model.pt2``    the program for GPUs
``export.pkl``         the fastai learner, for people; serving never opens it
``code/``              a user's script and its requirements.txt, if any
=====================  ==================================================================================

``model.json`` is written last and under another name first, so a folder that has one is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastai_container import foreign
from fastai_container.errors import ModelFolderError, unreadable

FORMAT_VERSION = 1
MANIFEST = "model.json"
WEIGHTS = "model.safetensors"
PROGRAM = "openvino/model.xml"
PROGRAM_WEIGHTS = "openvino/model.bin"
TORCH_PROGRAM = "torch/model.pt2"
LEARNER = "export.pkl"
#: Written by training while it works; one that is left over means that training was cut short.
PARTIAL_PREFIX = ".partial-"


@dataclass(frozen=True)
class Model:
    """What ``model.json`` says.

    ``image_size`` is the side in pixels of the square the model takes; ``mean`` and ``std`` are per channel (RGB) on a
    scale of 0 to 1. ``metrics`` are those of the validation split. ``files`` maps a path relative to the folder to its
    size in bytes and SHA-256. ``program`` says how the CPU program is to be run (``inference_precision_hint``,
    OpenVINO's: f32 or bf16) and what was measured of it.
    """

    arch: str
    vocab: list[str]
    image_size: int
    mean: list[float]
    std: list[float]
    metrics: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    program: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: str = ""
    resize: str = "center_square"
    interpolation: str = "bilinear"
    format_version: int = FORMAT_VERSION


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _describe(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return f"it holds {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "it is empty"


def read_model(folder: Path) -> Model:
    """What the model folder's ``model.json`` says, without looking at the other files.

    Raises ModelFolderError when there is no finished model of this version in ``folder``.
    """
    manifest = folder / MANIFEST
    if not folder.is_dir():
        raise ModelFolderError(
            f"there is no model folder at {folder}; mount one that training made (the folder that holds {MANIFEST})"
        )
    if not manifest.is_file():
        if any(folder.glob(PARTIAL_PREFIX + "*")):
            raise ModelFolderError(f"the model in {folder} is half-written: training did not finish; train again")
        what = foreign.explain(folder) or "mount the folder that training made, or the unpacked model.tar.gz"
        raise ModelFolderError(f"no {MANIFEST} in {folder} ({_describe(folder)}); {what}")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        version = content["format_version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelFolderError(
            f"{manifest} can't be read ({error!r}); the model is damaged, train or copy it again"
        ) from None
    if not isinstance(version, int) or version < 1:
        raise ModelFolderError(f"{manifest} has format_version {version!r}; this image reads version {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise ModelFolderError(
            f"the model in {folder} has format version {version}, this image reads up to {FORMAT_VERSION}; "
            "serve it with an image at least as new as the one that trained it"
        )
    known = {name: content[name] for name in Model.__dataclass_fields__ if name in content}
    try:
        model = Model(**known)
    except TypeError as error:
        raise ModelFolderError(f"{manifest} is incomplete ({error}); train or copy the model again") from None
    _check_values(model, manifest)
    return model


def _check_values(model: Model, manifest: Path) -> None:
    checks = {
        "vocab": isinstance(model.vocab, list)
        and len(model.vocab) >= 2
        and all(isinstance(c, str) for c in model.vocab),
        "image_size": isinstance(model.image_size, int) and model.image_size > 0,
        "mean": isinstance(model.mean, list) and len(model.mean) == 3,
        "std": isinstance(model.std, list) and len(model.std) == 3,
        "files": isinstance(model.files, dict) and bool(model.files),
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise ModelFolderError(
            f"{manifest}: {', '.join(wrong)} can't be right; the model is damaged, train or copy it again"
        )


def verify_files(folder: Path, model: Model) -> None:
    """Check that every file ``model`` names is there, of the right size and SHA-256. Raises ModelFolderError."""
    for name, facts in model.files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelFolderError(f"{folder / MANIFEST} names {name!r}, a file outside the model folder")
        if not path.is_file():
            raise ModelFolderError(f"{name} is missing from the model in {folder}; copy the whole folder again")
        if path.stat().st_size != facts.get("bytes"):
            raise ModelFolderError(
                f"{path} has {path.stat().st_size:,} bytes instead of {facts.get('bytes')}; copy the whole folder again"
            )
        try:
            digest = _sha256(path)
        except PermissionError:
            raise ModelFolderError(unreadable(path)) from None
        except OSError as error:
            raise ModelFolderError(f"{path} can't be read: {error.strerror}") from None
        if digest != facts.get("sha256"):
            raise ModelFolderError(f"{path} is not the file that training wrote (its SHA-256 differs); copy it again")


def load_model(folder: Path) -> Model:
    """Read and verify the model folder; raises ModelFolderError."""
    model = read_model(folder)
    verify_files(folder, model)
    return model


@contextmanager
def writing(folder: Path, model: Model) -> Iterator[Path]:
    """Write a model folder: yields an empty folder to put the files in; on leaving, they become ``folder``'s model.

    ``folder`` itself may be a mount point, so the files are moved into it one by one and ``model.json`` comes last; a
    model that was there before is given up only once the new files are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(PARTIAL_PREFIX + "*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder))
    try:
        yield partial
        for path in partial.rglob("*"):  # another user serves what this one trained
            path.chmod(0o755 if path.is_dir() else 0o644)
        files = {
            path.relative_to(partial).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        content = asdict(model) | {"files": files, "created": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        manifest = partial / MANIFEST
        manifest.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        manifest.chmod(0o644)
        (folder / MANIFEST).unlink(missing_ok=True)
        for entry in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
            target = folder / entry.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            entry.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
