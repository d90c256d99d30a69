"""What is to be pushed: which commit, under which tags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fastai_local.errors import LocalError
from fastai_local.images import revision
from fastai_local.settings import DEFAULT_BASES, Settings, project_version
from fastai_push.options import Options

#: As many hexadecimal digits of the commit as git's own short names have in large repositories.
SHORT = 12


@dataclass(frozen=True)
class Tags:
    """One image's tags. ``upload`` is pushed first, the others are set to what it is; moving ones come last."""

    upload: str
    fixed: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """Return the one to paste: the release's, if there is one."""
        return self.fixed[0] if self.fixed else self.upload


@dataclass(frozen=True)
class Source:
    """The working tree as it is."""

    commit: str | None  # None: it has changes, or is no git checkout
    version: str
    more: str = ""  # of what ships without being in the commit: laid-in weights, another base image

    def tags(self, options: Options, arch: str) -> Tags:
        kind = options.device if arch == "amd64" else f"{options.device}-{arch.replace('/', '-')}"
        named = (options.tag,) if options.tag else ()
        if options.tag and len(options.platforms) > 1:
            named = (f"{options.tag}-{arch.replace('/', '-')}",)
        if self.commit is None:
            return Tags(upload=f"dirty-{kind}", fixed=named)
        upload = "-".join(filter(None, (self.commit[:SHORT], self.more, kind)))
        return Tags(upload=upload, fixed=named or (f"{self.version}-{kind}",), moving=(kind,))


def identify(settings: Settings, options: Options) -> Source:
    """Return the working tree's commit. Raise ``LocalError`` when it has changes and nobody said that this is meant."""
    commit, _ = revision(settings.root)
    clean = commit != "unknown" and not commit.endswith("-dirty")
    if not clean and not options.allow_dirty:
        what = "this is no git checkout" if commit == "unknown" else "the working tree has changes (git status)"
        raise LocalError(f"{what}: commit first, or push it as dirty-{options.device} with --allow-dirty")
    return Source(commit if clean else None, project_version(settings.root), _beside_the_commit(settings))


def _beside_the_commit(settings: Settings) -> str:
    """Return a short hash of what gets into the images without being in the commit; "" when there is nothing.

    Without it, a push would take the images of the plain commit for those with a user's own weights.
    """
    digest = hashlib.sha256()
    found = settings.base != DEFAULT_BASES[settings.device]
    if found:
        digest.update(settings.base.encode())
    for path in sorted((settings.root / "docker" / "weights").glob("**/*")):
        if path.is_file() and path.name != "README.md":
            found = True
            digest.update(str(path.relative_to(settings.root)).encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:8] if found else ""
