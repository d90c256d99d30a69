"""Scripts and learners written for an older fastai: what to tell their owner.

fastai 2 renamed the modules of fastai 1, and fastai 2.8 gave up what learners of 2.7 and before refer to
(``fastcore.transform``, ``fastcore.dispatch``). Python says then that a module is missing; fastai's own load_learner
says nothing at all for a learner of fastai 1.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

#: Modules of fastai 1 that fastai 2 has not.
_FASTAI_1 = (
    *("basic_data", "basic_train", "callbacks", "core", "data_block", "datasets", "gen_doc", "script", "sixel"),
    *("tabular.models", "tabular.transform", "text.interpret", "text.transform", "train", "utils", "vision.cyclegan"),
    *("vision.image", "vision.interpret", "vision.transform", "vision.tta", "widgets"),
)
_BEFORE_2_8 = ("fastcore.transform", "fastcore.dispatch")
#: How much of a learner is looked at for the modules that it names.
_MAX_BYTES = 32 << 20

SCRIPT_OF_1 = (
    "this is written for fastai 1, and here is fastai 2, whose modules have other names: begin with "
    "`from fastai.vision.all import *` and see docs.fast.ai for what else changed, or train again with this project"
)
LEARNER_OF_1 = (
    "the learner was exported by fastai 1, which fastai 2 can't read: train it again with fastai 2.8 "
    "(its weights alone can be taken over: learn.save in fastai 1, Learner.load(with_opt=False) here)"
)
LEARNER_OF_2_7 = (
    "the learner was exported by fastai 2.7 or older, which fastai 2.8 can't read: export it again with fastai 2.8 "
    "(there learn.save, here a Learner of the same kind, learn.load and learn.export)"
)


def _is_of_1(module: str) -> bool:
    name = module.removeprefix("fastai.")
    return name != module and any(name == old or name.startswith(f"{old}.") for old in _FASTAI_1)


def _of_modules(names: set[str]) -> str | None:
    if any(_is_of_1(name) for name in names):
        return LEARNER_OF_1
    if any(name.startswith(_BEFORE_2_8) for name in names):
        return LEARNER_OF_2_7
    return None


def sentence(error: BaseException) -> str | None:
    """What ``error``, raised by a user's code, has to do with an older fastai; None when nothing."""
    text, file = str(error), _learner_of(error)
    if isinstance(error, ModuleNotFoundError) and _is_of_1(error.name or ""):
        return LEARNER_OF_1 if file else SCRIPT_OF_1
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "fastai2":
        return "fastai2 was fastai 2's name before its release; import fastai instead"
    if any(name in text for name in _BEFORE_2_8) and isinstance(error, ImportError | RuntimeError | AttributeError):
        return LEARNER_OF_2_7
    if file is not None and isinstance(error, UnboundLocalError | ImportError | AttributeError):
        return _of_modules(modules_of(file))
    return None


def _learner_of(error: BaseException) -> Path | None:
    """The file that fastai's load_learner was given, when the error comes out of it."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "load_learner" and code.co_filename.replace("\\", "/").endswith("fastai/learner.py"):
            name = trace.tb_frame.f_locals.get("fname")
            return Path(name) if isinstance(name, str | Path) else None
        trace = trace.tb_next
    return None


def modules_of(file: Path) -> set[str]:
    """The modules that a learner's pickle names, read without running any of it; empty where it can't be read."""
    names: set[str] = set()
    try:
        with file.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                stream.seek(0)
                # torch before 1.6 wrote several pickles one after the other: magic number, version, system, object.
                for _ in range(4):
                    names |= set(_named(stream))
                return names
            with zipfile.ZipFile(stream) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith("/data.pkl") and entry.file_size <= _MAX_BYTES:
                        with archive.open(entry) as pickle:
                            names |= set(_named(pickle))
    except Exception:  # a hint is not worth an error
        return names
    return names


def _named(stream: IO[bytes]) -> Iterator[str]:
    """Modules of the classes that one pickle refers to."""
    strings: list[str] = []
    for opcode, argument, position in pickletools.genops(stream):
        value: Any = argument
        if opcode.name == "GLOBAL":
            yield str(value).partition(" ")[0]
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            yield strings[-2]
        elif "UNICODE" in opcode.name:
            strings = [*strings[-1:], str(value)]
        if (position or 0) > _MAX_BYTES:
            return
