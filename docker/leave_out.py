"""Runs in the image's build: say in the packages' metadata what was left out of the environment on purpose.

    leave_out.py PACKAGES LIST

LIST is a requirements/leave-out-*.txt. What PACKAGES (a site-packages folder) holds no longer asks for the names in it:
its METADATA loses their Requires-Dist lines, and a file LEFT-OUT.txt beside it says which and why. So ``pip check`` is
clean, and pip doesn't fetch a left-out package for a script that asks for what is there already.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import sys
from pathlib import Path

NOTE = "LEFT-OUT.txt"
_REQUIREMENT = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.IGNORECASE)


def plain(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_reasons(path: Path) -> dict[str, str]:
    """The left-out names of the list at ``path``, each with the comment above it."""
    reasons: dict[str, str] = {}
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
        elif line.strip():
            reasons[plain(line.strip())] = " ".join(comment)
            comment = []
    return reasons


def _row(path: Path, packages: Path) -> list[str]:
    """A line of RECORD: the file's name, SHA-256 and size in bytes."""
    content = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return [path.relative_to(packages).as_posix(), f"sha256={digest}", str(len(content))]


def forget(info: Path, reasons: dict[str, str]) -> list[str]:
    """Take the names of ``reasons`` out of the requirements in the folder ``info``; returns those that were there."""
    metadata = info / "METADATA"
    # newline="": as the wheel has it.
    with metadata.open(encoding="utf-8", newline="") as file:
        text = file.read()
    head, gap, body = text.partition("\r\n\r\n" if "\r\n" in text else "\n\n")
    kept, names = [], []
    for line in head.splitlines(keepends=True):
        found = _REQUIREMENT.match(line)
        if found and plain(found[1]) in reasons:
            names.append(plain(found[1]))
        else:
            kept.append(line)
    if not names:
        return []
    with metadata.open("w", encoding="utf-8", newline="") as file:
        file.write("".join(kept).rstrip("\r\n") + gap + body)
    note = info / NOTE
    lines = [f"{name}: {reasons[name]}" for name in dict.fromkeys(names)]
    note.write_text(
        "This installation was changed by fastai-sagemaker: METADATA no longer asks for\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    packages, record = info.parent, info / "RECORD"
    changed = {row[0]: row for row in (_row(metadata, packages), _row(note, packages))}
    with record.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0] not in changed]
    with record.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([*rows, *changed.values()])
    return list(dict.fromkeys(names))


def main(packages: Path, leave_out: Path) -> int:
    reasons = read_reasons(leave_out)
    for info in sorted(packages.glob("*.dist-info")):
        for name in forget(info, reasons):
            print(f"{info.name.removesuffix('.dist-info')} no longer asks for {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
