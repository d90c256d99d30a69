"""``make bench-…``: the programs of benchmarks/, run in ``build/venv``."""

from __future__ import annotations

from functools import partial

from fastai_local.native import ensure_environment
from fastai_local.process import say, stream
from fastai_local.registry import command
from fastai_local.settings import Settings


def run(settings: Settings, name: str) -> int:
    """Run one benchmark; its exit code is ours. Variables of its own (QUICK=1) reach it through the environment."""
    python = ensure_environment(settings)
    words = [str(python), "-m", f"benchmarks.{name}", *settings.args]
    code = stream(words, cwd=settings.root, env={"PYTHONPATH": "docker"})
    if code == 0:
        say(f"results: {settings.root / 'benchmarks' / 'results'}")
    return code


def _benchmark(name: str, needs: str, help_text: str, *options: str, module: str = "") -> None:
    """Register benchmarks.``module``, which is ``name`` unless given, as the command bench-``name``."""
    command(f"bench-{name}", needs, help_text, *options)(partial(run, name=module or name))


_benchmark("serving", "", "measures requests a second and latency beside other servers", "QUICK=1")
_benchmark("start", "", "measures the time from start to the first response, and memory", "QUICK=1")
_benchmark("size", "", "measures what the images weigh, beside what the other servers' environments do")
_benchmark("training", "", "measures training beside plain fastai", "QUICK=1")
_benchmark(
    "imbalance", "", "measures what corrections for uneven classes bring", "QUICK=1", module="training.imbalance"
)
_benchmark(
    "large", "", "measures finding and reading very many pictures", 'ARGS="--baseline folder"', module="training.large"
)
_benchmark("soak", "MODEL=folder", "honest clients beside hostile ones", "MINUTES=60", "LIMIT=2g")
