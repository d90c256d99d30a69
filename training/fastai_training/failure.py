"""What a job failed of, in its user's terms: the text of /opt/ml/output/failure.

SageMaker shows its first 1024 characters: what happened, the line in the user's file, then the last lines of output.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastai_container.paths import FAILURE_REASON_LENGTH
from fastai_container.resources import memory_limit_bytes

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
#: A worker that lost its peers: the cause is on another host.
_LOST_PEER = re.compile(
    r"closed by peer|reset by peer|Connection (?:refused|closed|reset)|gloo|NCCL|ncclRemoteError|DistBackendError|"
    r"DistNetworkError|DistStoreError|RendezvousConnectionError|Broken pipe|[Tt]imed out|TCPStore",
)
_DISK_FULL = re.compile(r"No space left on device|\[Errno 28\]|Disk quota exceeded|ENOSPC|inline_container.*write")
_SHARED_MEMORY = re.compile(
    r"insufficient shared memory|/dev/shm|\(shm\)|Bus error|unable to (?:write|open|mmap).*torch_"
)
_GPU_MEMORY = re.compile(r"CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|OutOfMemoryError")
LAST_OUTPUT = "\nLast output:\n"
_MESSAGE_LENGTH, _LOCATION_LENGTH = 420, 260


@dataclass(frozen=True)
class Fault:
    """An exception as its traceback shows it; ``place`` is the innermost line in the user's own files."""

    exception: str
    place: str = ""


def _clip(text: str, length: int) -> str:
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
    return _clip(f"{where}: {source}" if source else where, _LOCATION_LENGTH)


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
        found = Fault(_clip(f"{name}: {text}" if text else name, _MESSAGE_LENGTH), _place(frames, code))
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
    return bool(_LOG_LINE.match(line)) or line.startswith((*_TRACEBACKS, *_CHAINS, "[rank", "====", "----"))


def _is_chained(lines: list[str], start: int) -> bool:
    """Whether the traceback at ``start`` is of an exception that the one above led to."""
    return lines[start] == f"{_TRACEBACKS[1]}:" or any(
        line.startswith(_CHAINS) for line in lines[max(0, start - 3) : start]
    )


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


def is_lost_peer(text: str) -> bool:
    """Whether an exception says no more than that another host or process went away."""
    return bool(_LOST_PEER.search(text))


def _memory() -> str:
    limit = memory_limit_bytes()
    return f" of {limit / 2**20:,.0f} MiB" if limit else ""


def _disk(paths: Iterable[Path]) -> str:
    """The volumes of ``paths`` that are (nearly) full."""
    full = {}
    for path in paths:
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        if usage.free < max(1 << 20, usage.total // 100):
            full[str(path)] = usage.total
    return ", ".join(f"{path} ({total / 2**20:,.0f} MiB) has no room left" for path, total in full.items())


def signal_reason(number: int, oom: bool | None) -> str:
    """Why a process died of a signal. ``oom``: whether the out-of-memory killer was seen at work."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        if oom:
            return out_of_memory()
        if oom is None:
            return (
                f"training was killed ({name}): most likely the container's memory{_memory()} ran out; {_LESS_MEMORY}"
            )
        return f"training was killed from outside ({name}), not for memory: nothing in this container did it"
    if number == signal.SIGBUS:
        return f"training died of {name}: {_MORE_SHARED_MEMORY}"
    if number == signal.SIGSEGV:
        return f"training crashed ({name}) in compiled code: a library's fault, or one built for another version"
    return f"training was ended by {name}"


_LESS_MEMORY = "lower batch_size, image_size or workers, or take a larger instance"
_MORE_SHARED_MEMORY = (
    "most likely /dev/shm is too small for the data loader's workers; use workers=0 or docker run --shm-size=2g"
)


def out_of_memory() -> str:
    return f"out of memory: the kernel killed training at the container's limit{_memory()}; {_LESS_MEMORY}"


def resource_reason(text: str, volumes: Iterable[Path]) -> str:
    """What resource ran out, judged by the error's text: disk, shared memory, GPU memory; "" for none."""
    if _SHARED_MEMORY.search(text):  # first: it says "no space left on device" too
        return f"shared memory ran out: {_MORE_SHARED_MEMORY}"
    if _DISK_FULL.search(text):
        full = _disk(volumes)
        return f"the disk is full{f': {full}' if full else ''}; write less, or take a larger volume"
    if _GPU_MEMORY.search(text):
        return "out of GPU memory: lower batch_size or image_size, or take a GPU with more memory"
    if text.startswith("MemoryError"):
        return f"out of memory: {_LESS_MEMORY}"
    return ""


def compose(headline: list[str], last_lines: list[str]) -> str:
    """The whole reason: the headline's sentences, then as many of the last lines as the space allows."""
    text = "\n".join(part for part in headline if part)
    room = FAILURE_REASON_LENGTH - len(text) - len(LAST_OUTPUT)
    chosen: list[str] = []
    for line in reversed([line for line in last_lines if line.strip()]):
        line = _clip(line, 200)
        if room - len(line) - 1 < 0 or len(chosen) == 12:
            break
        chosen.insert(0, line)
        room -= len(line) + 1
    return (text + (LAST_OUTPUT + "\n".join(chosen) if chosen else ""))[:FAILURE_REASON_LENGTH]
