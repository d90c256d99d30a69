"""``make engine``: a Docker engine on Debian or Ubuntu, installed if absent and started if it doesn't answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from fastai_local import apt
from fastai_local.engine import Engine, find_engine
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.process import capture, last_line, say, warn

START_SECONDS = 90
LOG = Path("/var/log/dockerd-fastai-sagemaker.log")
PID_FILE = Path("/var/run/docker.pid")
# by Debian release 13's names, then Ubuntu's; the first that apt knows is taken
PLUGINS = {"buildx": ("docker-buildx",), "compose": ("docker-compose-v2", "docker-compose")}
# Debian 12 packages neither plug-in; those of 13 need nothing newer than its C library
PLUGIN_RELEASE = "trixie"
NEEDED_PACKAGES = ("docker.io", "docker-cli", "debootstrap", "iptables")


def _apt_get(*args: str, options: tuple[str, ...] = ()) -> None:
    command = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=120", *options, *args]
    done = capture(command, timeout=1800, env={"DEBIAN_FRONTEND": "noninteractive"})
    if not done.ok:
        raise LocalError(f"apt-get {args[0]} failed: {last_line(done.err) or last_line(done.out)}")


def _candidate(package: str, options: tuple[str, ...] = ()) -> str | None:
    """Return the version of a package that apt would install."""
    listed = capture(["apt-cache", *options, "policy", package], env={"LC_ALL": "C"}).out
    for line in listed.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "Candidate" and value != "(none)":
            return value
    return None


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LocalError("installing and starting an engine needs root: sudo make engine")
    if shutil.which("apt-get") is None:
        raise LocalError("there is no apt-get here: install Docker as your system's documentation says")


def install_packages() -> None:
    """Install the engine and what the base image is made with. Raise ``LocalError``."""
    say("engine: installing Docker from the system's packages")
    _apt_get("update")
    packages = [name for name in NEEDED_PACKAGES if _candidate(name)]
    if "docker.io" not in packages:
        raise LocalError("apt knows no package docker.io: install Docker as your system's documentation says")
    _apt_get("install", "--no-install-recommends", *packages)


def missing_plugins(cli: str) -> list[str]:
    return [name for name in PLUGINS if not capture([cli, name, "version"], timeout=20).ok]


def install_plugins(missing: list[str]) -> None:
    """Install the client's plug-ins: from the system's packages, on Debian 12 from 13's. Raise ``LocalError``."""
    say(f"engine: installing {', '.join(missing)}")
    elsewhere = []
    for name in missing:
        known = [package for package in PLUGINS[name] if _is_plugin(package, _candidate(package))]
        if known:
            _apt_get("install", "--no-install-recommends", known[0])
        else:
            elsewhere.append(PLUGINS[name][-1])
    if elsewhere:
        _install_from_newer_release(elsewhere)


def _is_plugin(package: str, version: str | None) -> bool:
    # release 1 of Compose was a Python program of its own and no plug-in
    return version is not None and not (package == "docker-compose" and version.startswith("1."))


def _install_from_newer_release(packages: list[str]) -> None:
    """Downloads packages of Debian 13 with a configuration of apt beside the machine's own, which stays as it is."""
    mirror = apt.debian_mirror(apt.read_sources())
    if mirror is None:
        raise LocalError(f"apt knows no {' and no '.join(packages)}: install Docker's own packages of them")
    source = apt.Source(mirror.uri, (PLUGIN_RELEASE,), ("main",), mirror.signed_by or apt.DEBIAN_KEYRING)
    with tempfile.TemporaryDirectory(prefix="fastai-sagemaker-apt-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads it as a user of its own
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        (folder / "newer.sources").write_text(source.deb822(), encoding="utf-8")
        options = (
            *("-o", f"Dir::Etc::SourceList={folder}/newer.sources", "-o", "Dir::Etc::SourceParts=/nonexistent"),
            *("-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"),
            *("-o", "APT::Sandbox::User=root"),
        )
        _apt_get("update", options=options)
        for package in packages:
            done = capture(["apt-get", *options, "download", package], timeout=600, cwd=folder)
            if not done.ok:
                raise LocalError(f"{package} can't be downloaded: {last_line(done.err)}")
        _apt_get("install", "--no-install-recommends", *(str(path) for path in folder.glob("*.deb")))


def start_engine() -> Engine:
    """Start the engine, through systemd where that runs, else by hand, and wait for it. Raise ``LocalError``."""
    if Path("/run/systemd/system").is_dir():
        capture(["systemctl", "start", "docker"], timeout=START_SECONDS)
        started = None
    else:
        started = _start_by_hand()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineUnavailableError):
            return find_engine()
        if started and started.poll() is not None:
            break
        time.sleep(0.5)
    if started:
        lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        say("\n".join(lines))
        raise LocalError(f"dockerd did not start: its last log lines are above, all of them in {LOG}")
    raise LocalError("the service docker did not start: journalctl -u docker says why")


def _start_by_hand() -> subprocess.Popen[bytes]:
    dockerd = shutil.which("dockerd") or "/usr/sbin/dockerd"
    with contextlib.suppress(OSError, ValueError):
        # dockerd refuses to start while any program has the id that a dead one left here
        pid = int(PID_FILE.read_text(encoding="ascii"))
        if b"dockerd" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            PID_FILE.unlink()
    say(f"engine: starting dockerd, log in {LOG}")
    with LOG.open("ab") as log:
        return subprocess.Popen(
            [dockerd], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _answering() -> Engine | None:
    try:
        return find_engine()
    except EngineUnavailableError:
        return None


def ensure_engine() -> None:
    """Leave an engine that answers and builds. Raise ``LocalError``."""
    engine = _answering()
    if engine is None:
        _require_root()
        if shutil.which("dockerd") is None:
            install_packages()
        time.sleep(1)  # a package that starts its own service has had the time to
        engine = _answering() or start_engine()
    missing = missing_plugins(engine.cli)
    if missing:
        _require_root()
        try:
            install_plugins(missing)
        except LocalError as error:
            if "buildx" in missing and engine.builder is None:
                raise
            warn(f"{', '.join(missing)} can't be installed ({error}); only the SDK's local mode needs it")
        engine = find_engine()
    say(f"engine: Docker {engine.server_version} answers; images are built by {engine.cli} ({engine.builder})")
    if os.environ.get("SUDO_USER"):
        say(f"without sudo: sudo usermod -aG docker {os.environ['SUDO_USER']}, then log in again")
