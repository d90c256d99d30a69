"""Explain why a job failed: the text of /opt/ml/output/failure.

SageMaker shows its first 1024 characters: what happened, the line in the user's file, then the last lines of output.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from pathlib import Path

from fastai_container.resources import memory_limit_bytes
from fastai_container.sagemaker import FAILURE_REASON_LENGTH
from fastai_training.diagnosis import hints, symptoms, volumes
from fastai_training.diagnosis.tracebacks import clip, without_frames

_LESS_MEMORY = "lower batch_size, image_size or workers, or take a larger instance"
_MORE_SHARED_MEMORY = (
    "most likely /dev/shm is too small for the data loader's workers; use workers=0 or docker run --shm-size=2g"
)
LAST_OUTPUT = "\nLast output:\n"
NOT_STOPPED_IN_TIME = "training did not end in time after it was asked to stop, and was killed"


def _memory() -> str:
    limit = memory_limit_bytes()
    return f" of {limit / 2**20:,.0f} MiB" if limit else ""


def signal_reason(number: int, oom: bool | None, said: str = "") -> str:
    """Say why a process died of a signal.

    ``oom``: whether the out-of-memory killer was seen at work. ``said``: what compiled code said when it aborted.
    """
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
    if number == signal.SIGABRT and said:
        return f"training was aborted by compiled code: {said}"
    return f"training was ended by {name}"


def out_of_memory() -> str:
    return f"out of memory: the kernel killed training at the container's limit{_memory()}; {_LESS_MEMORY}"


def resource_reason(text: str, folders: Iterable[Path]) -> str:
    """Say what resource ran out, judged by the error's text: disk, shared memory, GPU memory, memory; "" for none.

    ``folders`` are those that the job writes to: the full ones are named.
    """
    if symptoms.SHARED_MEMORY.search(text):  # first: it says "no space left on device" too
        return f"shared memory ran out: {_MORE_SHARED_MEMORY}"
    if symptoms.DISK_FULL.search(text) or symptoms.WRITE_CUT.search(text):
        folders = list(folders)
        full = volumes.describe(folders, text)
        if full:
            return f"the disk is full: {full}; write less, or take a larger volume"
        # What was cut short may be removed again already.
        sure = symptoms.DISK_FULL.search(text) is not None
        known = "the disk is full" if sure else "a file could not be written to its end, as on a full disk"
        return f"{known}; now {volumes.room(folders)} free; write less, or take a larger volume"
    if symptoms.GPU_MEMORY.search(text):
        return "out of GPU memory: lower batch_size or image_size, or take a GPU with more memory"
    if symptoms.MEMORY.search(text):
        return f"out of memory: {_LESS_MEMORY}"
    return ""


def error_reason(error: BaseException, folders: Iterable[Path], *, several: bool = False) -> str:
    """One sentence in the user's terms for an exception of the trainer that is no UserError.

    ``several``: whether more processes than this one train the model.
    """
    name, lines = type(error).__name__, str(error).strip().splitlines()
    # fastai writes the callback's name above the text of an error in it.
    lines = lines[1:] if len(lines) > 1 and lines[0].startswith("Exception occured in") else lines
    # A loader worker's error arrives with its whole traceback as the message; what happened is its last line.
    text = (lines[-1] if lines and "Traceback (most recent call last)" in str(error) else "".join(lines[:1])).strip()
    if isinstance(error, FloatingPointError) and text:
        return text
    said = f"{name}: {text}" if text else name
    cause = resource_reason(said, folders)
    if cause:
        return f"{cause} ({said})"
    if several and symptoms.is_lost_peer(said):
        return f"another process or host of this job ended or can't be reached: {said}"
    return said


def with_cause(text: str, folders: Iterable[Path], code: Path) -> str:
    """Put what ``text`` (a script's own reason, of any length) means above it, where that is known and not said yet."""
    cause = resource_reason(text, folders) or hints.hint(text, code)
    # What it begins with, up to the particulars: a text that has it already says which folder, and what it needed.
    known = re.split("[:;]", cause)[0]
    return f"{cause}\n{text}" if cause and known not in text else text


def compose(headline: list[str], last_lines: list[str]) -> str:
    """Join the headline's sentences and as many of the last lines as the space allows."""
    text = "\n".join(part for part in headline if part)
    room = FAILURE_REASON_LENGTH - len(text) - len(LAST_OUTPUT)
    chosen: list[str] = []
    for line in reversed([line for line in without_frames(last_lines) if line.strip()]):
        line = clip(line, 200)
        if room - len(line) - 1 < 0 or len(chosen) == 12:
            break
        chosen.insert(0, line)
        room -= len(line) + 1
    return (text + (LAST_OUTPUT + "\n".join(chosen) if chosen else ""))[:FAILURE_REASON_LENGTH]
