"""The base image: the one that is here, the registry's, or one made from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fastai_local import apt
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import TIMED_OUT, capture, last_line, say
from fastai_local.settings import DEFAULT_BASES, Settings

PULL_SECONDS = 900
MADE_HERE = "debian:bookworm-slim"
CODENAME = "bookworm"
# What a container never reads, and dpkg is told not to unpack again. Copyright files stay: licences ask for them.
EXCLUDED = ("doc", "groff", "info", "linda", "lintian", "locale", "man")
KEPT = ("doc/*/copyright", "locale/locale.alias")


def ensure_base(settings: Settings, engine: Engine) -> None:
    """Make sure that the base image is in the engine. Raise ``LocalError`` with what to do."""
    name = settings.base
    if engine.has_image(name):
        say(f"base image {name}: present")
        return
    say(f"base image {name}: pulling")
    pulled = engine.capture("pull", name, timeout=PULL_SECONDS)
    if pulled.ok:
        return
    reason = last_line(pulled.err) or f"docker pull ended with {pulled.code}"
    if pulled.code == TIMED_OUT:
        reason = f"not there after {PULL_SECONDS} seconds"
    if name == MADE_HERE:
        say(f"base image {name}: can't be pulled ({reason}); making it from Debian's packages")
        make_base(engine)
    elif settings.device == "gpu" and name == DEFAULT_BASES["gpu"]:
        raise LocalError(
            f"the base image {name} can't be pulled ({reason}). BASE_IMAGE={MADE_HERE} builds a gpu image on a plain "
            "base instead: the CUDA libraries are in torch's wheels, the driver's come from the host"
        )
    else:
        raise LocalError(f"the base image {name} can't be pulled ({reason}): check its name, or load it first")


def missing_for_base() -> str | None:
    """Return what this machine lacks to make a base image from Debian's packages, with the remedy; None if nothing."""
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed (on Debian or Ubuntu: sudo apt-get install debootstrap)"
    if not Path(apt.DEBIAN_KEYRING).is_file():
        return "Debian's keys are not installed (sudo apt-get install debian-archive-keyring)"
    if os.geteuid() != 0:
        return "debootstrap needs root (run `sudo make base` once)"
    return None


def make_base(engine: Engine) -> None:
    """Make debian:bookworm-slim with debootstrap and import it. Raise ``LocalError``."""
    missing = missing_for_base()
    if missing:
        raise LocalError(f"{MADE_HERE} can't be made here: {missing}; or load the image from elsewhere (docker load)")
    # not below /tmp, which is often mounted without devices, nor below a home on a network share
    parent = "/var/tmp" if Path("/var/tmp").is_dir() else None  # noqa: S108
    target = Path(tempfile.mkdtemp(prefix="fastai-sagemaker-base-", dir=parent))
    try:
        _bootstrap(target)
        _configure(target)
        _update(target)
        _trim(target)
        _import(target, engine)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    say(f"base image {MADE_HERE}: made")


def _bootstrap(target: Path) -> None:
    mirror = apt.debian_mirror(apt.read_sources())
    # with no Debian mirror in apt's configuration (Ubuntu), debootstrap knows one itself
    uri = [mirror.uri] if mirror else []
    command = ["debootstrap", "--variant=minbase", "--force-check-gpg", f"--keyring={apt.DEBIAN_KEYRING}"]
    done = capture([*command, CODENAME, target, *uri], timeout=1800)
    if not done.ok:
        text = last_line(done.err) or last_line(done.out)
        log = target / "debootstrap" / "debootstrap.log"
        if log.is_file():
            text = f"{text}; {last_line(log.read_text(errors='replace'))}"
        raise LocalError(f"debootstrap failed: {text}. Check that apt-get update works on this machine")


def _configure(target: Path) -> None:
    sources = apt.read_sources()
    one_line = target / "etc/apt/sources.list"
    used = apt.parse_one_line(one_line.read_text(encoding="utf-8"))
    security = apt.security_mirror(sources)
    mirror = used[0].uri
    text = apt.debian_sources(mirror, security.uri if security else f"{mirror}-security", CODENAME)
    (target / "etc/apt/sources.list.d/debian.sources").write_text(text, encoding="utf-8")
    one_line.unlink()
    shares = [f"path-exclude=/usr/share/{name}/*" for name in EXCLUDED]
    shares += [f"path-include=/usr/share/{pattern}" for pattern in KEPT]
    (target / "etc/dpkg/dpkg.cfg.d/container").write_text("\n".join(shares) + "\n", encoding="utf-8")
    settings = ['APT::Install-Recommends "false";', 'Acquire::Languages "none";', 'APT::Periodic::Enable "0";']
    (target / "etc/apt/apt.conf.d/90container").write_text("\n".join(settings) + "\n", encoding="utf-8")
    # services must not start while packages are unpacked
    policy = target / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    policy.chmod(0o755)


def _update(target: Path) -> None:
    """Bring in the security updates, as the published image has them."""
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    # debootstrap leaves the host's resolver in place, which apt needs here
    for step in (["update"], ["--yes", "dist-upgrade"]):
        done = capture(["chroot", target, "apt-get", "--quiet", *step], timeout=900, env=env)
        if not done.ok:
            raise LocalError(
                f"apt-get {step[-1]} in the new base failed: {last_line(done.err)}. Check that the same works on "
                "this machine (a mirror that speaks https needs ca-certificates: use its http address)"
            )


def _trim(target: Path) -> None:
    share = target / "usr/share"
    kept = {path for pattern in KEPT for path in share.glob(pattern)}
    # several packages of one source share a folder, as libgcc-s1 -> gcc-12-base
    kept |= {path.parent for path in kept if path.parent.is_symlink()}
    for name in EXCLUDED:
        for path in sorted((share / name).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in kept:
                path.unlink()
    for pattern in ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*", "var/cache/debconf/*-old", "tmp/*", "run/*"):
        for path in target.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id"):
        (target / name).unlink(missing_ok=True)


def _import(target: Path, engine: Engine) -> None:
    pack = ["tar", "--numeric-owner", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
    with subprocess.Popen([*pack, "-C", str(target), "-c", "."], stdout=subprocess.PIPE) as tar:
        load = engine.command("import", "--change", 'CMD ["bash"]', "-", MADE_HERE)
        imported = subprocess.run(load, stdin=tar.stdout, capture_output=True, text=True, check=False)
    if tar.returncode != 0 or imported.returncode != 0:
        raise LocalError(f"docker import failed: {last_line(imported.stderr) or 'tar ended early'}")
