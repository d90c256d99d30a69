"""`make bench-size`: what the images weigh, with their largest parts, beside the other servers' environments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.common import BUILD, describe, machine, results_folder, table, write
from benchmarks.local_tools import engine
from benchmarks.servers import BASELINES, IMAGE, environment

IMAGES = {"serving": IMAGE, "training": os.environ.get("TRAINING_IMAGE") or "fastai-sagemaker-training:cpu"}
#: Folders whose parts are told apart.
PACKAGES = "/opt/venv/lib/python3.11/site-packages"
SHOWN = 6


def _megabytes(lines: Iterable[str]) -> dict[str, float]:
    """du's lines by path, in 10^6 bytes."""
    found = {}
    for line in lines:
        size, _, path = line.partition("\t")
        if size.isdigit() and path:
            found[path] = int(size) * 1024 / 1e6
    return found


def largest(sizes: dict[str, float], root: str) -> list[tuple[str, float]]:
    """The largest folders directly below ``root``."""
    below = {path.removeprefix(root + "/"): size for path, size in sizes.items() if path.startswith(root + "/")}
    parts = [(name, size) for name, size in below.items() if "/" not in name]
    return sorted(parts, key=lambda part: -part[1])[:SHOWN]


def _image(name: str) -> dict[str, Any]:
    size = int(engine("image", "inspect", "--format", "{{.Size}}", name).stdout)
    command = [
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        "0",
        "--entrypoint",
        "du",
        name,
        "-xk",
        "-d6",
        "/",
    ]
    # du also fails on what vanishes below /proc while it looks
    lines = engine(*command, check=False).stdout.splitlines()
    sizes = _megabytes(lines)
    packages = next(
        (path for path in sizes if path.endswith("site-packages") and path.startswith("/opt/venv/")), PACKAGES
    )
    venv = sizes.get("/opt/venv", 0.0)
    parts = [("Java", sizes.get("/opt/java", 0.0)), ("our code", sizes.get("/opt/fastai-sagemaker", 0.0))]
    parts += [("Debian and Python", sum(sizes.get(path, 0.0) for path in ("/usr", "/var", "/etc", "/lib", "/bin")))]
    return {"megabytes": size / 1e6, "packages": venv, "parts": parts + largest(sizes, packages)}


def _environment(baseline: str) -> dict[str, Any]:
    environment(baseline)
    folder = BUILD / f"bench-{baseline}"
    done = subprocess.run(["du", "-xk", "-d5", str(folder)], capture_output=True, text=True, check=True)
    sizes = _megabytes(done.stdout.splitlines())
    packages = str(next((folder / "lib").glob("python3*/site-packages")))
    return {"megabytes": sizes[str(folder)], "parts": largest(sizes, packages)}


def _parts(parts: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {size:.0f}" for name, size in sorted(parts, key=lambda part: -part[1])[:SHOWN])


def plot(result: dict[str, Any]) -> None:
    """size.png"""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [(f"image {name}", found["megabytes"]) for name, found in result["images"].items()]
    rows += [(f"{name}'s environment", found["megabytes"]) for name, found in result["environments"].items()]
    figure, axes = pyplot.subplots(figsize=(8, 3.2))
    axes.barh([name for name, _ in rows], [size for _, size in rows], color=["C0"] * 2 + ["C7"] * (len(rows) - 2))
    axes.set(xlabel="MB, unpacked")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(results_folder() / "size.png", dpi=110)


def main() -> int:
    result: dict[str, Any] = {"machine": machine()}
    result["images"] = {name: _image(image) for name, image in IMAGES.items()}
    result["environments"] = {baseline: _environment(baseline) for baseline in BASELINES}
    serving = result["images"]["serving"]["megabytes"]
    images = [[name, f"{found['megabytes']:.0f}", _parts(found["parts"])] for name, found in result["images"].items()]
    baselines = [
        [name, f"{found['megabytes']:.0f}", f"{found['megabytes'] / serving:.1f}", _parts(found["parts"])]
        for name, found in result["environments"].items()
    ]
    text = "\n\n".join(
        [
            "# Size, measured",
            describe(result["machine"]),
            "MB (10^6 bytes) of the images, unpacked, with everything in them.",
            table(["image", "MB", "largest parts"], images),
            "The other servers' virtual environments alone: neither a base system and Python nor the Java that stock "
            "and TorchServe need are counted, and torch is its CPU build.",
            table(["environment", "MB", "to our serving image", "largest parts"], baselines),
        ]
    )
    write("size", result, text)
    plot(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
