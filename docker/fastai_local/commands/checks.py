"""``make test`` and ``make check``."""

from __future__ import annotations

import os

from fastai_local.choose_runtime import choose_runtime
from fastai_local.errors import LocalError
from fastai_local.native import DEV_EXTRAS, ensure_environment
from fastai_local.process import say, stream
from fastai_local.registry import command
from fastai_local.settings import Settings

SCRIPTS = (
    ".ci/run",
    "build_and_push.sh",
    "docker/install-packages.sh",
    "docker/requirements/lock.sh",
    "docker/normalize-mtimes.sh",
    "docker/trim.sh",
)


@command("test", "", "builds the images if there is an engine, and runs the tests", 'ARGS="-k name"')
def test_command(settings: Settings) -> int:
    """Build the images when an engine answers, then run pytest; its exit code is ours."""
    runtime = choose_runtime(settings, require_engine=settings.require_engine)
    # In CI nobody reads a warning, and what a full disk breaks looks like a failed test.
    runtime.require_space(strict=settings.require_engine and bool(os.environ.get("CI")))
    python = ensure_environment(settings, DEV_EXTRAS)
    runtime.build()
    return stream([python, "-m", "pytest", *settings.args], cwd=settings.root)


@command("check", "", "linter, formatter and type checker")
def check_command(settings: Settings) -> int:
    """Run the linter, the formatter's check and the type checker; all of them, even if one finds something."""
    # With everything installed: what the type checker finds depends on the packages that it sees.
    python = ensure_environment(settings, DEV_EXTRAS)
    failed = []
    for words in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        say("check: " + " ".join(words))
        if stream([python, "-m", *words], cwd=settings.root) != 0:
            failed.append(" ".join(words))
    say("check: shellcheck")
    # Its package is the program alone, no module.
    if stream([python.parent / "shellcheck", *SCRIPTS], cwd=settings.root) != 0:
        failed.append("shellcheck")
    if failed:
        raise LocalError(f"checks failed: {', '.join(failed)}; what each found is above")
    return 0
