"""`make bench-serving`, `-start`, `-size`, `-training` and `-soak`: the programs of benchmarks/, run in build/venv."""

from __future__ import annotations

from fastai_local.native import ensure_environment
from fastai_local.process import say, stream
from fastai_local.settings import Settings

#: Each is the module benchmarks.<name> and the target bench-<name>.
NAMES = ("serving", "start", "size", "training", "soak")


def run(settings: Settings, name: str) -> int:
    """Runs one benchmark; its exit code is ours. Variables of its own (QUICK=1) reach it through the environment."""
    python = ensure_environment(settings)
    code = stream([python, "-m", f"benchmarks.{name}", *settings.args], cwd=settings.root, env={"PYTHONPATH": "docker"})
    if code == 0:
        say(f"results: {settings.root / 'benchmarks' / 'results'}")
    return code
