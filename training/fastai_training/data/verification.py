"""Look at every picture once before training: an unreadable one costs a line in a list, not the job at epoch 3.

It is done in processes of their own, so that a picture whose decoding takes all memory, crashes or doesn't end costs
that picture alone, and it is known which one it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fastai_container.errors import PictureError
from fastai_container.picture_limits import MAX_PICTURE_BYTES, MIN_PICTURE_BYTES
from fastai_container.pictures import check_picture
from fastai_container.resources import cpu_count, total_memory_bytes
from fastai_training.data.labels import DataError, Example, Examples, relative_name
from fastai_training.quoting import shown

#: More unreadable pictures than this share of all, and the data set is not what the user thinks it is.
MOST_UNREADABLE = 0.5
#: Seconds by the clock for one picture. Decoding is bounded in processor time; this is for a file system that hangs.
CHECK_SECONDS = 120.0
SECONDS_TO_DIE = 5.0
#: Fewer pictures than these are not worth another process.
PICTURES_EACH = 32
#: All pictures that are decoded at once may take this share of the memory.
MEMORY_SHARE = 0.25
#: What a process may allocate beyond a picture's limit: an estimate's error is no reason to leave one out.
SPARE_BYTES = 512 * 2**20


def picture_bytes() -> int:
    """What one picture may take: a power of two, so that hosts with a little more or less leave out the same ones."""
    total = total_memory_bytes()
    if total is None:
        return MAX_PICTURE_BYTES
    share = max(1, int(total * MEMORY_SHARE) // cpu_count())
    return max(MIN_PICTURE_BYTES, min(MAX_PICTURE_BYTES, 1 << (share.bit_length() - 1)))


def _look(path: Path, side: int, limit: int) -> tuple[str | None, bytes]:
    """What is wrong with the picture, and a hash of its file, by which copies are found."""
    try:
        check_picture(path, side, max_bytes=limit)
        return None, hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except PictureError as error:
        return str(error), b""
    except OSError as error:
        return f"can't be read: {error.strerror}", b""
    except MemoryError:
        return f"decoding it takes more than {limit // 2**20} MB of memory", b""


def _limit_memory(limit: int) -> None:
    """Be what the kernel ends first when memory is short, and fail before that."""
    with contextlib.suppress(OSError, ValueError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + limit + SPARE_BYTES, hard))


def _serve(connection: Connection, parent: int, side: int, limit: int) -> None:
    """Answer each path with its problem until there are no more."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(limit)
    with contextlib.suppress(EOFError, OSError):
        while True:
            while not connection.poll(5):
                if os.getppid() != parent:  # others were forked after it and hold its end of the pipe open
                    return
            path = connection.recv()
            if path is None:
                return
            connection.send(_look(path, side, limit))


class _Checker:
    """A process that checks one picture after the other."""

    def __init__(self, side: int, limit: int) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=_serve, args=(theirs, os.getpid(), side, limit), daemon=True, name="pictures-check"
        )
        try:
            self.process.start()
        finally:
            theirs.close()
        self.index = -1
        self.deadline = 0.0

    def ask(self, index: int, path: Path) -> None:
        self.index, self.deadline = index, time.monotonic() + CHECK_SECONDS
        with contextlib.suppress(OSError):  # it died meanwhile: the next look at it finds out
            self.connection.send(path)

    def outcome(self, *, ready: bool) -> tuple[str | None, bytes, bool]:
        """What is wrong with its picture, the file's hash, and whether it can check another one.

        ``ready``: it has answered, or died.
        """
        if ready:
            with contextlib.suppress(OSError, EOFError):
                return *self.connection.recv(), True
            self.process.join(SECONDS_TO_DIE)
        code = self.process.exitcode
        self.end()
        if code is None:
            return f"checking it takes longer than {CHECK_SECONDS:g} s", b"", False
        if code == -signal.SIGKILL:
            return "checking it was ended by the kernel (SIGKILL), for memory most likely", b"", False
        return f"checking it crashes ({signal.strsignal(-code) if code < 0 else f'exit code {code}'})", b"", False

    def end(self) -> None:
        self.process.kill()
        self.process.join(SECONDS_TO_DIE)  # not for ever: a file system that hangs holds it even then
        self.connection.close()


def _looks(paths: Sequence[Path], side: int, processes: int) -> Iterator[tuple[int, tuple[str | None, bytes]]]:
    """The number of each path, what is wrong with the picture and its file's hash, in any order."""
    limit = picture_bytes()
    waiting = iter(enumerate(paths))
    checkers: list[_Checker] = []
    try:
        for index, path in itertools.islice(waiting, max(1, processes)):
            checkers.append(_Checker(side, limit))
            checkers[-1].ask(index, path)
        while checkers:
            rest = min(checker.deadline for checker in checkers) - time.monotonic()
            ready = wait([checker.connection for checker in checkers], max(0.0, rest))
            for checker in list(checkers):
                if checker.connection not in ready and time.monotonic() < checker.deadline:
                    continue
                problem, digest, usable = checker.outcome(ready=checker.connection in ready)
                yield checker.index, (problem, digest)
                following = next(waiting, None)
                if following is not None and usable:
                    checker.ask(*following)
                    continue
                checkers.remove(checker)
                checker.end()
                if following is not None:
                    checkers.append(_Checker(side, limit))
                    checkers[-1].ask(*following)
    finally:
        for checker in checkers:
            checker.end()


def leave_out_unreadable(
    examples: Examples, *, strict: bool, processes: int, side: int = 224, part: bool = False
) -> Examples:
    """The examples whose picture decodes for a square of ``side`` pixels; the others are added to ``skipped``.

    ``part``: these are not all of the channel, so it doesn't matter which classes are left of them.

    Raises DataError when ``strict`` and one is unreadable, or when too few are left to train on.
    """
    paths = [item.path for item in examples.items]
    looks = dict(_looks(paths, side, min(processes, -(-len(paths) // PICTURES_EACH))))
    good: list[Example] = []
    bad: list[tuple[str, str]] = []
    digests: dict[Path, bytes] = {}
    for index, item in enumerate(examples.items):
        problem, digest = looks[index]
        if problem is None:
            good.append(item)
            digests[item.path] = digest
        else:
            bad.append((relative_name(item.path, examples.root), problem))
    result = replace(examples, items=good, skipped=examples.skipped + bad, digests=digests)
    named = "; ".join(f"{shown(name)}: {shown(why)}" for name, why in bad[:3])
    if bad and strict:
        raise DataError(f"{len(bad)} of {len(paths)} pictures can't be read and strict is set: {named}")
    one_class = not part and len(result.vocab) < min(2, len(examples.vocab))
    if len(bad) > MOST_UNREADABLE * len(paths) or one_class:
        raise DataError(
            f"{len(bad)} of {len(paths)} pictures can't be read, too few are left to train on: {named}; "
            "check how the files were copied"
        )
    return result
