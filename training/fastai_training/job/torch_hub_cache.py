"""Pretrained weights for a user's script: where torch.hub looks before it downloads.

``vision_learner(dls, resnet34)`` has torchvision ask torch.hub for ``resnet34-b627a593.pth``. Files of the channel
``weights`` and of the image are linked there under the name that is asked for, so that a script needs neither a change
nor a network.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastai_container.paths import BAKED_WEIGHTS
from fastai_training.console import Log

_READ_BY_HUB = (".pth", ".pt")
_URL_NAME = re.compile(r"/([\w.]+?)-([0-9a-f]{8})\.pth\b")


def hub_folder(environment: Mapping[str, str]) -> Path:
    """Where torch.hub keeps what it downloaded."""
    cache = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    return Path(environment.get("TORCH_HOME") or Path(cache, "torch")) / "hub" / "checkpoints"


def _names_of_torchvision() -> dict[str, list[str]]:
    """The files that torchvision's architectures ask for, read from its sources: importing it takes seconds."""
    try:
        spec = importlib.util.find_spec("torchvision")
    except (ImportError, ValueError):
        return {}
    found: dict[str, list[str]] = {}
    for folder in (spec.submodule_search_locations if spec else None) or []:
        for source in sorted(Path(folder, "models").rglob("*.py")):
            for name, digest in _URL_NAME.findall(source.read_text(encoding="utf-8", errors="replace")):
                found.setdefault(name, []).append(f"{name}-{digest}.pth")
    return found


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.rglob("*") if path.suffix in _READ_BY_HUB and path.is_file())


def fill(channel: Path, log: Log, *, baked: Path = BAKED_WEIGHTS) -> None:
    """Link the weights of ``channel`` and of the image to where torch.hub finds them; what is there already stays."""
    files = list(_files(channel, baked))
    if not files:
        return
    folder, known = hub_folder(os.environ), _names_of_torchvision()
    linked = []
    for path in files:
        # resnet34.pth is the file of every release of resnet34's weights: no other is at hand.
        for name in dict.fromkeys([path.name, *known.get(path.stem, [])]):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(path)
            except FileExistsError:
                continue
            except OSError as error:
                log(f"warning: the weights in {path.parent} can't be laid where torch.hub looks: {error.strerror}")
                return
            linked.append(name)
    if linked:
        log(f"torch.hub finds without a download: {', '.join(linked)}")
