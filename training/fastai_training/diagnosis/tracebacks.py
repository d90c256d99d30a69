"""What a program said of its own end: Python's tracebacks, error lines, torchrun's summary, a C++ abort."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_FRAME = re.compile(r'^\s*File "(?P<file>.+?)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_EXCEPTION = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_RANK = re.compile(r"^\[rank\d+\]:\s?")
#: The second is a data loader worker's, inside its parent's exception.
_TRACEBACKS = ("Traceback (most recent call last)", "Original Traceback (most recent call last)")
_CHAINS = ("During handling of the above", "The above exception was the direct cause")
_LOG_LINE = re.compile(r"^[DIWEF]\d{4} \d\d:|^\d{4}-\d\d-\d\d[ T]\d\d:")
#: torchrun's own, which says only that a worker failed.
_LAUNCHER = ("ChildFailedError", "SignalException")
_ERROR_LINE = re.compile(r"^(?:\S+: )?(?:fatal )?(?:error|fatal):\s?(?P<text>.+)$", re.IGNORECASE)
#: What torchrun says of the worker that failed first.
_WORKER_EXIT = re.compile(r"^\s*exitcode\s*:\s*(-?\d+)")
#: How the C++ runtime says which exception nobody caught.
_THROWN = re.compile(r".*terminate called after throwing an instance of '([^']+)'")
_WHAT = re.compile(r"\s*what\(\):\s*(.*\S)")
#: How the C library, assert() and Python itself say why they abort.
_ABORT = re.compile(
    r"terminate called |.*: Assertion .* failed\.|Fatal Python error: (?!Aborted)|\*\*\* .* \*\*\*: terminated|"
    r"(?:double free or corruption|free\(\): |malloc\(|munmap_chunk\(|corrupted |OMP: Error )"
)
#: A thread of a library's (gloo's, say) was still at work while the interpreter ended.
_ENDING = "terminate called without an active exception"
_COMPILED_FRAME = re.compile(r"\s*(?:frame #\d+: |#\d+ +(?:0x|<unknown|[\w:~]+\())")
_MESSAGE_LENGTH, _LOCATION_LENGTH = 420, 260


@dataclass(frozen=True)
class Fault:
    """An exception as its traceback shows it; ``place`` is the innermost line in the user's own files."""

    exception: str
    place: str = ""


def clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _place(frames: list[tuple[str, str, str, str]], code: Path) -> str:
    """Of (file, line, function, source), the last one in ``code``, else the last one that is no library's."""
    own = [frame for frame in frames if Path(frame[0]).is_relative_to(code)]
    own = own or [frame for frame in frames if "-packages/" not in frame[0] and "/lib/python" not in frame[0]] or frames
    if not own:
        return ""
    file, line, function, source = own[-1]
    name = Path(file).relative_to(code).as_posix() if Path(file).is_relative_to(code) else file
    where = f"{name}, line {line}" + (f", in {function}" if function and function != "<module>" else "")
    return clip(f"{where}: {source}" if source else where, _LOCATION_LENGTH)


def find_fault(lines: Iterable[str], code: Path) -> tuple[Fault | None, list[str]]:
    """The last Python exception in ``lines``, and the lines before its traceback."""
    lines = [_RANK.sub("", line) for line in lines]
    found: Fault | None = None
    before = lines
    frames: list[tuple[str, str, str, str]] = []  # of exceptions that led to each other
    index = 0
    while index < len(lines):
        start = index
        if lines[index].startswith(_TRACEBACKS):
            index += 1
        elif not (lines[index].startswith("  File") and _FRAME.match(lines[index])):
            # (A syntax error in the script itself begins with its frame.)
            index += 1
            continue
        new, index = _read_frames(lines, index)
        exception = _EXCEPTION.match(lines[index]) if index < len(lines) else None
        if exception is None:
            continue
        name = exception["name"].rpartition(".")[2]
        message = [exception["message"] or ""]
        index += 1
        while index < len(lines) and len(message) < 4 and lines[index].strip() and not _starts_anew(lines[index]):
            message.append(lines[index].strip())
            index += 1
        if name in _LAUNCHER and found is not None:
            continue
        chained = found is not None and _is_chained(lines, start)
        frames = [*frames, *new] if chained else new
        text = " ".join(part for part in message if part)
        found = Fault(clip(f"{name}: {text}" if text else name, _MESSAGE_LENGTH), _place(frames, code))
        if not chained:
            before = lines[:start]
    return found, before


def _read_frames(lines: list[str], index: int) -> tuple[list[tuple[str, str, str, str]], int]:
    """The frames (file, line, function, source) from ``lines[index]`` on, and the index of what follows them."""
    frames = []
    while index < len(lines) and (lines[index].startswith(" ") or not lines[index]):
        frame = _FRAME.match(lines[index])
        index += 1
        if frame:
            has_source = index < len(lines) and lines[index].startswith("    ")
            source = lines[index].strip() if has_source else ""
            frames.append((frame["file"], frame["line"], frame["function"] or "", source))
    return frames, index


def _starts_anew(line: str) -> bool:
    """Whether ``line`` is no part of the message above it; a library's log line, say ("E1122 19:00:50.507 ...")."""
    return bool(_LOG_LINE.match(line) or _ABORT.match(line)) or line.startswith(
        (*_TRACEBACKS, *_CHAINS, "[rank", "====", "----")
    )


def _is_chained(lines: list[str], start: int) -> bool:
    """Whether the traceback at ``start`` is of an exception that the one above led to."""
    return lines[start] == f"{_TRACEBACKS[1]}:" or any(
        line.startswith(_CHAINS) for line in lines[max(0, start - 3) : start]
    )


def abort_message(lines: list[str]) -> str:
    """What compiled code said when it aborted (SIGABRT): its exception's text or the library's line; "" for nothing."""
    for index in range(len(lines) - 1, -1, -1):
        thrown = _THROWN.match(lines[index])
        if thrown:
            what = next((found[1] for line in lines[index + 1 : index + 4] if (found := _WHAT.match(line))), "")
            # Python's own line, written meanwhile, may have got between its words.
            return clip(f"{thrown[1]}: {what}" if what else thrown[1], _MESSAGE_LENGTH)
        if _ABORT.match(lines[index]):
            return clip(lines[index].strip(), _MESSAGE_LENGTH)
    return ""


def is_aborted_ending(lines: list[str]) -> bool:
    """Whether an interpreter that was ending because of an exception was aborted on the way: no reason of its own."""
    lines = [_RANK.sub("", line) for line in lines]
    if _ENDING not in lines:
        return False
    fault, _ = find_fault(lines[: lines.index(_ENDING)], Path("/"))
    return fault is not None


def without_frames(lines: list[str]) -> list[str]:
    """``lines`` without the frames of compiled code's stack traces, which say nothing to a script's author."""
    return [line for line in lines if not _COMPILED_FRAME.match(line)]


def error_line(lines: list[str]) -> str:
    """The last line of the form ``error: ...`` or ``train.py: error: ...`` near the end; "" without one."""
    for line in reversed(lines[-15:]):
        found = _ERROR_LINE.match(line.strip())
        if found:
            return found["text"]
    return ""


def worker_exit_code(lines: list[str]) -> int | None:
    """The exit code of the worker that torchrun names as the root cause (minus a signal's number)."""
    codes = [int(found[1]) for line in lines if (found := _WORKER_EXIT.match(line))]
    return codes[-1] if codes else None
