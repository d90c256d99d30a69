"""The variables of the Makefile, read from the environment (so that spaces and quotes in them survive)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastai_local.errors import UsageError

DEVICES = ("cpu", "gpu")
RUNTIMES = ("docker", "native")
SDKS = ("2", "3")
# A plain base, and NVIDIA's with the driver's user-space settings; the CUDA libraries come with torch's wheels.
DEFAULT_BASES = {"cpu": "debian:bookworm-slim", "gpu": "nvidia/cuda:13.0.2-base-ubuntu24.04"}
DEFAULT_PORT = 8080
ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def parse_hyperparameters(text: str) -> dict[str, str]:
    """Split ``epochs=2 arch="resnet 34"`` as a shell would; raise ``UsageError`` for an item that is not name=value."""
    try:
        items = shlex.split(text)
    except ValueError as error:
        raise UsageError(f'HP can\'t be read ({error}): write HP="epochs=2 arch=resnet34"') from None
    values: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(f'HP holds {item!r}: each item is name=value, as in HP="epochs=2 arch=resnet34"')
        if name in values:
            raise UsageError(f"HP gives {name} twice ({values[name]!r} and {value!r}): leave one out")
        values[name] = value
    return values


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageError(f"{name}={value} is not known: {name} is {' or '.join(allowed)}")
    return value


def _flag(name: str, value: str) -> bool:
    return _choice(name, value.lower(), ("0", "1")) == "1" if value else False


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise UsageError(f"PORT={value} is not a port: PORT is a number from 1 to 65535")
    return int(value)


@dataclass(frozen=True)
class Settings:
    """One call's settings. Paths are absolute; what was not given is None."""

    root: Path = ROOT
    device: str = "cpu"
    runtime: str | None = None
    port: int | None = None
    data: Path | None = None
    out: Path | None = None
    model: Path | None = None
    picture: Path | None = None
    validation: Path | None = None
    weights: Path | None = None
    network: str | None = None
    base_image: str | None = None
    training_image: str | None = None
    serving_image: str | None = None
    sdk: int = 2
    script: Path | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    remove_images: bool = False
    require_engine: bool = False

    @classmethod
    def from_environment(cls, env: Mapping[str, str], cwd: Path, root: Path = ROOT) -> Settings:
        """Read and check every variable; an empty one counts as not given. Raise ``UsageError``."""

        def text(name: str) -> str:
            return env.get(name, "").strip()

        def path(name: str) -> Path | None:
            return (cwd / Path(text(name)).expanduser()).resolve() if text(name) else None

        try:
            args = tuple(shlex.split(text("ARGS")))
        except ValueError as error:
            raise UsageError(f"ARGS can't be read ({error}): close the quotes") from None
        picture, image = path("PICTURE"), path("IMAGE")
        if picture and image and picture != image:
            raise UsageError(f"PICTURE={picture} and IMAGE={image} are two pictures: give one, PICTURE=")
        return cls(
            root=root,
            device=_choice("DEVICE", text("DEVICE") or "cpu", DEVICES),
            runtime=_choice("RUNTIME", text("RUNTIME"), RUNTIMES) if text("RUNTIME") else None,
            port=_port(text("PORT")) if text("PORT") else None,
            data=path("DATA"),
            out=path("OUT"),
            model=path("MODEL"),
            picture=picture or image,
            validation=path("VALIDATION"),
            weights=path("WEIGHTS"),
            network=text("NETWORK") or None,
            base_image=text("BASE_IMAGE") or None,
            training_image=text("TRAINING_IMAGE") or None,
            serving_image=text("SERVING_IMAGE") or None,
            sdk=int(_choice("SDK", text("SDK") or "2", SDKS)),
            script=path("SCRIPT"),
            hyperparameters=parse_hyperparameters(text("HP")),
            args=args,
            remove_images=_flag("IMAGES", text("IMAGES")),
            require_engine=text("REQUIRE_ENGINE") not in ("", "0"),
        )

    @property
    def build(self) -> Path:
        """Return the folder of everything that these commands make; ``make clean`` removes it."""
        return self.root / "build"

    @property
    def base(self) -> str:
        return self.base_image or DEFAULT_BASES[self.device]

    @property
    def listen_port(self) -> int:
        return self.port or DEFAULT_PORT


#: The one place where the project's version stands.
VERSION_FILE = "container/fastai_container/__init__.py"


def project_version(root: Path = ROOT) -> str:
    """Return the project's version, read from the one place where it stands, without importing it."""
    try:
        text = (root / VERSION_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{root / VERSION_FILE} is missing: is this a whole checkout?") from None
    found = re.search(r'^__version__\s*=\s*"([^"]+)"', text, re.MULTILINE)
    if not found:
        raise UsageError(f"{VERSION_FILE} has no __version__")
    return found.group(1)


def locked_version(package: str, root: Path = ROOT) -> str | None:
    """Return the release of a package in the lock file of the CPU training image, without a local part such as +cpu."""
    lock = root / "docker" / "requirements" / "training-cpu.txt"
    if not lock.is_file():
        return None
    found = re.search(rf"^{re.escape(package)}==([^\s;+\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else None
