"""Run the unit tests under each Python that the project supports and this machine has: ``python3 tests/matrix.py``.

Arguments go to pytest. Each version has an environment of its own in build/matrix, with what serving and the tests
need but without torch, which takes gigabytes for each: what needs it is skipped here, told so, and is tested under the
one Python of ``make test``. A version that isn't there is named, with how to get it, and is no failure unless
REQUIRE_PYTHONS=1.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "matrix"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = "serving,dev"
#: What an interpreter must have to make an environment; Debian has it in a package of its own.
PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def say(text: str) -> None:
    print(text, flush=True)


def candidates(version: str) -> Iterator[str]:
    """Where an interpreter of ``version`` may be: PATH, pyenv's folder, uv's."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))
    if shutil.which("uv"):
        command = ["uv", "python", "find", "--no-python-downloads", version]
        yield subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def find_python(version: str) -> str | None:
    """An interpreter that runs, is of ``version`` and can make an environment; a shim of pyenv's may do none of it."""
    for path in candidates(version):
        try:
            asked = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if asked.stdout.strip() == version:
            return path
    return None


def environment(version: str, python: str) -> Path | None:
    """The Python of build/matrix/``version``, made or updated; None when pip fails, which has said why."""
    folder = FOLDER / version
    own, stamp = folder / "bin" / "python", folder / "pyproject.sha256"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and own.exists():
        return own
    shutil.rmtree(folder, ignore_errors=True)
    say(f"matrix: Python {version}: installing {EXTRAS} into {folder.relative_to(ROOT)}")
    pip = [str(own), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
    for command in (
        [python, "-m", "venv", str(folder)],
        [*pip, "--editable", f"{ROOT}[{EXTRAS}]"],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            return None
    stamp.write_text(wanted, encoding="utf-8")
    return own


def skipped(report: Path) -> Counter[str]:
    """Why tests were skipped and how many for each reason, by pytest's report."""
    if not report.is_file():
        return Counter()
    tree = ElementTree.parse(report)
    # Of a whole file it says only that its collection was skipped; why is the last part of the text.
    whole = (
        (found.get("message", ""), (found.text or "").rpartition("Skipped: ")[2]) for found in tree.iter("skipped")
    )
    return Counter((text.rstrip('")') if message == "collection skipped" else message) for message, text in whole)


def test(version: str, arguments: list[str]) -> str:
    """What came of the unit tests under ``version``: passed, failed or missing."""
    python = find_python(version)
    if python is None:
        how = f"`pyenv install {version}` or `uv python install {version}`"
        say(f"matrix: Python {version} is not here, or has no venv and ensurepip; get it with {how}")
        return "missing"
    own = environment(version, python)
    if own is None:
        return "failed"
    report = FOLDER / f"{version}.xml"
    report.unlink(missing_ok=True)
    say(f"matrix: Python {version} ({python})")
    command = [str(own), "-m", "pytest", "-q", "-r", "fE", f"--junit-xml={report}", *(arguments or ["tests/unit"])]
    failed = subprocess.run(command, cwd=ROOT, check=False).returncode
    for reason, count in skipped(report).most_common():
        say(f"matrix: Python {version}: {count} skipped: {reason}")
    return "failed" if failed else "passed"


def main(arguments: list[str]) -> int:
    outcomes = {version: test(version, arguments) for version in VERSIONS}
    say("matrix: " + ", ".join(f"{version} {outcome}" for version, outcome in outcomes.items()))
    bad = {"failed", "missing"} if os.environ.get("REQUIRE_PYTHONS") == "1" else {"failed"}
    return int(bool(bad & set(outcomes.values())) or "passed" not in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
