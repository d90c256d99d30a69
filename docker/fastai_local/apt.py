"""What apt is configured with on this machine: the Debian mirror to make a base image from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
_SUITES = {*CODENAMES, "oldoldstable", "oldstable", "stable", "testing", "unstable"}


@dataclass(frozen=True)
class Source:
    """One line of sources.list, or one URI of a paragraph in a .sources file."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None

    def deb822(self) -> str:
        lines = [
            "Types: deb",
            f"URIs: {self.uri}",
            f"Suites: {' '.join(self.suites)}",
            f"Components: {' '.join(self.components)}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def parse_one_line(text: str) -> list[Source]:
    """Return the sources of the one-line format: ``deb [signed-by=…] uri suite component…``."""
    sources = []
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        found = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)", line)
        if not found:
            continue
        options, uri, suite, components = found.groups()
        signed_by = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
        keyring = signed_by.group(1) if signed_by else None
        sources.append(Source(uri.rstrip("/"), (suite,), tuple(components.split()), keyring))
    return sources


def parse_deb822(text: str) -> list[Source]:
    """Return the sources of the paragraph format (*.sources)."""
    sources = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        keyring = fields.get("signed-by", "").strip()
        for uri in fields.get("uris", "").split():
            sources.append(
                Source(
                    uri.rstrip("/"),
                    tuple(fields.get("suites", "").split()),
                    tuple(fields.get("components", "").split()),
                    # a key can also stand in the paragraph itself; apt's own key rings then do
                    keyring if keyring.startswith("/") and "\n" not in keyring else None,
                )
            )
    return sources


def read_sources(apt: Path = APT) -> list[Source]:
    """Return every source that apt reads here; files that can't be read count as absent."""
    sources: list[Source] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if path.suffix == ".sources":
            sources += parse_deb822(text)
        elif path.suffix == ".list":
            sources += parse_one_line(text)
    return [_resolved(source) for source in sources]


def _resolved(source: Source) -> Source:
    """Cloud images name a file with a list of mirrors; its first one stands for the list."""
    scheme, separator, path = source.uri.partition("file:")
    if scheme != "mirror+" or not separator:
        return source
    try:
        lines = Path("/" + path.lstrip("/")).read_text(encoding="utf-8").splitlines()
    except OSError:
        return source
    uris = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return Source(uris[0].rstrip("/"), source.suites, source.components, source.signed_by) if uris else source


def _usable(sources: Iterable[Source]) -> list[Source]:
    # a cdrom: or file: source is of no use inside a container
    return [source for source in sources if re.match(r"https?://", source.uri) and "main" in source.components]


def debian_mirror(sources: Iterable[Source]) -> Source | None:
    """Return the source that is Debian itself, told from other publishers' repositories for Debian; None on Ubuntu."""
    usable = _usable(sources)

    def score(source: Source) -> int:
        same = {suite for other in usable if other.uri == source.uri for suite in other.suites}
        return (
            2 * any(f"{suite}-updates" in same for suite in source.suites)
            + 2 * ("debian-archive-keyring" in (source.signed_by or ""))
            + source.uri.endswith("/debian")
        )

    candidates = [source for source in usable if _SUITES.intersection(source.suites)]
    best = max(candidates, key=score, default=None)
    return best if best and score(best) else None


def security_mirror(sources: Iterable[Source]) -> Source | None:
    """Return the source of Debian's security updates."""
    for source in _usable(sources):
        if any(suite.removesuffix("-security") in _SUITES and suite.endswith("-security") for suite in source.suites):
            return source
    return None


def debian_sources(mirror: str, security: str, codename: str) -> str:
    """Return a .sources file for an image of that release, on these mirrors."""
    release = Source(mirror, (codename, f"{codename}-updates"), ("main",), DEBIAN_KEYRING)
    updates = Source(security, (f"{codename}-security",), ("main",), DEBIAN_KEYRING)
    return release.deb822() + "\n" + updates.deb822()
