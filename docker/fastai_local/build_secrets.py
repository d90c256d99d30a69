"""What a build may need to know of this machine without keeping it: its certificates and its package index."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastai_local.process import capture, say, warn

SECRET_LIMIT = 500 * 1024  # bytes; BuildKit refuses a larger secret
INDEX_KEYS = ("index-url", "extra-index-url", "trusted-host")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def pip_configuration(env: Mapping[str, str]) -> dict[str, str]:
    """pip's settings as it would use them here, by key: the environment's win over those of its files."""
    values: dict[str, str] = {}
    listed = capture([sys.executable, "-m", "pip", "config", "list"], timeout=60)
    for line in listed.out.splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.partition(".")
        if not equals or section not in ("global", "install", "download"):
            continue
        with contextlib.suppress(ValueError, SyntaxError):
            values[key] = str(ast.literal_eval(value))
    for key in (*INDEX_KEYS, "cert"):
        from_env = env.get("PIP_" + key.upper().replace("-", "_"), "").strip()
        if from_env:
            values[key] = from_env
    return values


def find_certificates(env: Mapping[str, str], pip: Mapping[str, str]) -> Path | None:
    """Return the bundle of certificates that this machine's programs are told to trust; None when it is not told."""
    names = [env.get("PIP_CERT"), env.get("SSL_CERT_FILE"), env.get("REQUESTS_CA_BUNDLE"), pip.get("cert")]
    for name in names:
        if not name or not Path(name).is_file():
            continue
        if Path(name).stat().st_size > SECRET_LIMIT:
            warn(f"{name} is larger than a build secret may be (500 kB): name a smaller bundle in PIP_CERT")
            continue
        return Path(name)
    return None


def index_configuration(pip: Mapping[str, str]) -> str | None:
    """Return a pip configuration file with this machine's package indexes; None when there is nothing to say.

    Indexes that are folders of this machine are left out: a container can't see them.
    """
    lines = []
    for key in INDEX_KEYS:
        values = pip.get(key, "").split()
        if key != "trusted-host":
            values = [value for value in values if value.startswith(("http://", "https://"))]
        if values:
            lines.append(f"{key} = {' '.join(values)}")
    return "\n".join(["[global]", *lines]) + "\n" if lines else None


@contextlib.contextmanager
def build_secrets(root: Path, env: Mapping[str, str] | None = None) -> Iterator[list[str]]:
    """Return the ``--secret`` options of a build; files made for it are this user's only and removed after."""
    env = os.environ if env is None else env
    pip = pip_configuration(env)
    options: list[str] = []
    certificates = find_certificates(env, pip)
    if certificates:
        say(f"build: with the certificates of {certificates}")
        options += ["--secret", f"id=ca,src={certificates}"]
    own = root / "docker" / "pip.conf"
    with contextlib.ExitStack() as stack:
        text = None if own.is_file() else index_configuration(pip)
        if own.is_file():
            say("build: with the package index of docker/pip.conf")
            options += ["--secret", f"id=index,src={own}"]
        elif text:
            say("build: with the package index of pip's configuration")
            # NamedTemporaryFile makes it with mode 0600
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8"))
            file.write(text)
            file.flush()
            options += ["--secret", f"id=index,src={file.name}"]
        yield options


def proxy_args(env: Mapping[str, str]) -> list[str]:
    """Build arguments for the machine's proxy; Docker keeps these names out of the image's history.

    A proxy on this machine's own loopback is left out: a container would look for it on itself.
    """
    args: list[str] = []
    for name in PROXIES:
        value = env.get(name, "")
        is_local = name.lower() != "no_proxy" and any(local in value for local in LOOPBACK)
        if value and not is_local:
            args += ["--build-arg", name]
    return args
