"""The model folder, version 1: what training leaves in /opt/ml/model and serving loads.

=====================  ==================================================================================
``model.json``         this format's version, the architecture, the vocabulary, how a picture is prepared,
                       metrics, versions of what made it, and size and SHA-256 of every file below
``model.safetensors``  the weights
``openvino/model.*``   the compiled model for CPUs
``torch/model.pt2``    the compiled model for GPUs
``export.pkl``         the fastai learner, for people; serving never opens it
``code/``              a user's script and its requirements.txt, if any
=====================  ==================================================================================

``model.json`` is written last and under another name first, so a folder that has one is complete. Its ``lineage`` is
there only when the model went on from another one, since images from before it refuse what they don't know.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from fastai_container import foreign
from fastai_container.errors import ModelFolderError, unreadable
from fastai_container.json_file import JsonError, parse_json

FORMAT_VERSION = 1
MANIFEST = "model.json"
WEIGHTS = "model.safetensors"
COMPILED_MODEL = "openvino/model.xml"
COMPILED_WEIGHTS = "openvino/model.bin"
TORCH_MODEL = "torch/model.pt2"
LEARNER = "export.pkl"
#: Written by training while it works; one that is left over means that training was cut short.
PARTIAL_PREFIX = ".partial-"

#: The only way of preparing a picture, and of running the compiled model for CPUs, that version 1 has.
RESIZE, INTERPOLATION = "center_square", "bilinear"
PRECISION_HINTS = ("f32", "bf16")
#: What ``program`` may say; all but the hint was measured, and is for people.
_COMPILED_FACTS = frozenset({"precision", "inference_precision_hint", "asked", "scored_pictures", "scores"})
#: Pixels: the largest ``image_size`` that training takes.
MAX_IMAGE_SIZE = 2048
#: Characters of a class's name; a folder's name has 255 at most, a manifest's cell may have more.
MAX_NAME = 1000
#: Bytes; 100,000 classes with long names take a tenth of it.
MAX_MANIFEST = 64 << 20


@dataclass(frozen=True)
class ModelManifest:
    """What ``model.json`` says.

    ``image_size`` is the side in pixels of the square the model takes; ``mean`` and ``std`` are per channel (RGB) on a
    scale of 0 to 1. ``metrics`` are those of the validation split. ``files`` maps a path relative to the folder to its
    size in bytes and SHA-256. ``program`` says how the compiled model for CPUs is to be run
    (``inference_precision_hint``, OpenVINO's: f32 or bf16) and what was measured of it. ``lineage`` is for people: the
    model that this one was trained on from, empty for none.
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
    lineage: dict[str, Any] = field(default_factory=dict)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def _describe(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return f"it holds {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "it is empty"


def read_manifest(folder: Path) -> ModelManifest:
    """What the model folder's ``model.json`` says, without looking at the other files.

    Raises ModelFolderError when there is no finished model of this version in ``folder``, when ``model.json`` asks for
    something that this version doesn't do, or when it can't be right.
    """
    manifest = folder / MANIFEST
    try:
        _find(folder, manifest)
        content = _parse(manifest)
    except PermissionError as error:
        raise ModelFolderError(unreadable(error.filename or manifest)) from None
    except OSError as error:
        raise ModelFolderError(f"{manifest} can't be read: {error.strerror or error}") from None
    version: Any = content.get("format_version")
    if not _is_whole(version, 1):
        raise ModelFolderError(
            f"{manifest} has format_version {_shown(version)}; this image reads version {FORMAT_VERSION}"
        )
    if version > FORMAT_VERSION:
        raise ModelFolderError(
            f"the model in {folder} has format version {_shown(version)}, this image reads up to {FORMAT_VERSION}; "
            "use an image at least as new as the one that trained it"
        )
    unknown = sorted(set(content) - set(ModelManifest.__dataclass_fields__))
    if unknown:
        # Left alone, it might change what the answers mean: a later version would have a number of its own.
        raise ModelFolderError(
            f"{manifest}: {_shown(unknown[0])} is no field of format version {FORMAT_VERSION}; remove it, or use "
            "the image that knows it"
        )
    try:
        model = ModelManifest(**content)
    except TypeError as error:
        raise ModelFolderError(f"{manifest} is incomplete ({error}); train or copy the model again") from None
    _check_values(model, manifest)
    return model


def _mode(path: Path) -> int:
    """What ``path`` is (st_mode), 0 when there is nothing. Unlike Path.is_file it says when that can't be known."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _find(folder: Path, manifest: Path) -> None:
    """Raises ModelFolderError unless ``manifest`` is a file of ``folder``, OSError for what can't be looked into."""
    if not stat.S_ISDIR(_mode(folder)):
        raise ModelFolderError(
            f"there is no model folder at {folder}; mount one that training made (the folder that holds {MANIFEST})"
        )
    if stat.S_ISREG(_mode(manifest)):
        return
    if any(folder.glob(PARTIAL_PREFIX + "*")):
        raise ModelFolderError(f"the model in {folder} is half-written: training did not finish; train again")
    what = foreign.explain(folder) or "mount the folder that training made, or the unpacked model.tar.gz"
    raise ModelFolderError(f"no {MANIFEST} in {folder} ({_describe(folder)}); {what}")


def _parse(manifest: Path) -> dict[str, Any]:
    """The object in ``manifest``. Raises ModelFolderError, or OSError when it can't be read."""
    again = "the model is damaged, train or copy it again"
    size = manifest.stat().st_size
    if size > MAX_MANIFEST:
        raise ModelFolderError(f"{manifest} has {size:,} bytes, more than any that training writes; {again}")
    try:
        content = parse_json(manifest.read_bytes(), manifest, unique=True)
    except JsonError as error:
        raise ModelFolderError(f"{error}; {again}") from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{manifest} holds no JSON object; {again}")
    return content


def _shown(value: Any) -> str:
    """``value`` for a message: on one line, and not long."""
    try:
        text = ascii(value)
    except ValueError:  # a whole number of more digits than Python writes
        text = "a very long number"
    except RecursionError:
        text = "something nested deeply"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_whole(value: Any, low: int, high: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are_numbers(values: Any, least: float) -> bool:
    """Three finite numbers above ``least``, one for each channel."""
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) and least < v < 1e6 for v in values)
    )


def vocabulary_fault(vocab: Any) -> str | None:
    """Why ``vocab`` can't be the classes of a model, in words to follow "vocab"; None when it can be.

    It is a list of two or more different texts; a name has something to be seen, at most MAX_NAME characters, and is
    Unicode that can be written as UTF-8.
    """
    if not isinstance(vocab, list) or not all(isinstance(name, str) for name in vocab):
        return "must be a list of the classes' names"
    if len(vocab) < 2:
        return f"must name at least two classes, not {len(vocab)}"
    for place, name in enumerate(vocab):
        if not name.strip():
            return f"has an empty name at place {place + 1}"
        if len(name) > MAX_NAME:
            return f"has a name of {len(name):,} characters ({_shown(name)}); at most {MAX_NAME:,} are taken"
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            return f"has a name that is not Unicode text ({_shown(name)}); rename the class"
    name, count = Counter(vocab).most_common(1)[0]
    return f"names {_shown(name)} {count} times" if count > 1 else None


def _files_fault(files: Any) -> str | None:
    if not isinstance(files, dict) or not files:
        return "must name the model's files"
    for name, facts in files.items():
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            return f"names {_shown(name)}, a file outside the model folder"
        known = isinstance(facts, dict) and _is_whole(facts.get("bytes"), 0) and isinstance(facts.get("sha256"), str)
        if not known:
            return f"must give size (bytes) and sha256 of {_shown(name)}"
    return None


def _program_fault(program: Any) -> str | None:
    if not isinstance(program, dict):
        return "must be an object"
    unknown = sorted(set(program) - _COMPILED_FACTS)
    if unknown:
        return f"has {_shown(unknown[0])}, which version {FORMAT_VERSION} does not have"
    hint = program.get("inference_precision_hint", PRECISION_HINTS[0])
    if hint not in PRECISION_HINTS:
        return f"has inference_precision_hint {_shown(hint)}; this image knows {' and '.join(PRECISION_HINTS)}"
    return None


def _only(known: str, value: Any) -> str | None:
    return None if value == known else f"is {_shown(value)}; this image knows {known!r} alone"


def _check_values(model: ModelManifest, manifest: Path) -> None:
    """Raises ModelFolderError for the first field that can't be right, or that asks for what isn't done here."""
    faults: dict[str, str | None] = {
        "arch": None if isinstance(model.arch, str) else "must be a text",
        "vocab": vocabulary_fault(model.vocab),
        "image_size": None
        if _is_whole(model.image_size, 1, MAX_IMAGE_SIZE)
        else f"is {_shown(model.image_size)}; it must be a whole number of pixels from 1 to {MAX_IMAGE_SIZE}",
        "mean": None if _are_numbers(model.mean, -1e6) else "must be three numbers, one for each channel",
        "std": None if _are_numbers(model.std, 0) else "must be three numbers above 0, one for each channel",
        "resize": _only(RESIZE, model.resize),
        "interpolation": _only(INTERPOLATION, model.interpolation),
        "program": _program_fault(model.program),
        "files": _files_fault(model.files),
    }
    for name in ("metrics", "hyperparameters", "versions", "lineage"):
        faults[name] = None if isinstance(getattr(model, name), dict) else "must be an object"
    for name, fault in faults.items():
        if fault:
            raise ModelFolderError(f"{manifest}: {name} {fault}; train or copy the model again")


def files_to_run(gpu: bool) -> tuple[str, ...]:
    """The files that serving opens, on a GPU or on CPUs."""
    return (TORCH_MODEL,) if gpu else (COMPILED_MODEL, COMPILED_WEIGHTS)


def verify_files(folder: Path, model: ModelManifest, names: Iterable[str] | None = None) -> None:
    """Check that every file of ``names`` (default: all that ``model`` names) is there, of the right size and SHA-256.

    Raises ModelFolderError, also for one that ``model`` doesn't name: it can't be verified.
    """
    for name in model.files if names is None else names:
        path = folder / name
        try:
            _verify(folder, path, name, model.files.get(name))
        except PermissionError:
            raise ModelFolderError(unreadable(path)) from None
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            reason = getattr(error, "strerror", None) or error
            raise ModelFolderError(f"{_shown(str(path))} can't be read: {reason}") from None


def _verify(folder: Path, path: Path, name: str, facts: dict[str, Any] | None) -> None:
    if not stat.S_ISREG(_mode(path)):
        raise ModelFolderError(f"{name} is missing from the model in {folder}; copy the whole folder again")
    if facts is None:
        raise ModelFolderError(
            f"{folder / MANIFEST} doesn't list {name}, so nobody can tell whether it is what training wrote; "
            "train again, or copy the whole folder again"
        )
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise ModelFolderError(
            f"{path} has {size:,} bytes instead of {_shown(facts['bytes'])}; copy the whole folder again"
        )
    if _sha256(path) != facts["sha256"]:
        raise ModelFolderError(f"{path} is not the file that training wrote (its SHA-256 differs); copy it again")


def seal(folder: Path, model: ModelManifest) -> str:
    """A text that changes when a file of ``model`` is written or replaced, from what the file system says of them.

    What was verified once need not be read again by a process that finds the same seal.
    """
    digest = hashlib.sha256()
    for name in (MANIFEST, *sorted(model.files)):
        try:
            found = (folder / name).stat()
        except (OSError, ValueError):
            return ""
        facts = (name, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(repr(facts).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def load_verified(folder: Path, needed: Iterable[str] = ()) -> ModelManifest:
    """Read and verify the model folder, in which the files ``needed`` must be; raises ModelFolderError."""
    model = read_manifest(folder)
    verify_files(folder, model, [*model.files, *(name for name in needed if name not in model.files)])
    return model


def remove_partial(folder: Path) -> None:
    """Remove what a writer of ``folder`` that was ended has left behind."""
    for stale in folder.glob(PARTIAL_PREFIX + "*"):
        shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def writing(folder: Path, model: ModelManifest) -> Iterator[Path]:
    """Write a model folder: yields an empty folder to put the files in; on leaving, they become ``folder``'s model.

    ``folder`` itself may be a mount point, so the files are moved into it one by one and ``model.json`` comes last; a
    model that was there before is given up only once the new files are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
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
        if not content["lineage"]:  # so that those who don't know the field read what doesn't need it
            del content["lineage"]
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
