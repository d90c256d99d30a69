"""Building what the registry lacks, pushing it, and setting the tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastai_local.engine import Engine, find_engine, require_builder
from fastai_local.errors import LocalError
from fastai_local.images import KINDS, build_images
from fastai_local.process import say, warn
from fastai_local.settings import VERSION_FILE, Settings
from fastai_push.aws import connect, ensure_repositories, may_move
from fastai_push.docker_push import engine_arch, login, push_image, pushes_oci, require_platforms
from fastai_push.options import Options
from fastai_push.registry import Manifest, Registry
from fastai_push.source import Source, Tags, identify


@dataclass(frozen=True)
class Image:
    """One image to be: a kind for a platform, and where it goes."""

    kind: str
    platform: str
    repository: str
    tags: Tags

    def name(self, registry: Registry, tag: str) -> str:
        return f"{registry.address}/{self.repository}:{tag}"


def wanted_images(options: Options, source: Source, engine: Engine) -> list[Image]:
    """Return every image that is asked for. Raise ``LocalError`` when the builder lacks one of the platforms."""
    platforms = options.platforms or (f"linux/{engine_arch(engine)}",)
    require_platforms(engine, platforms)
    return [
        Image(kind, platform, f"{options.repository}-{kind}", source.tags(options, platform.partition("/")[2]))
        for platform in platforms
        for kind in KINDS
    ]


def push(settings: Settings, options: Options) -> int:
    """Do all of it; what can go wrong for lack of something is found before anything is built. Raise ``LocalError``."""
    source = identify(settings, options)
    engine = find_engine()
    require_builder(engine)
    images = wanted_images(options, source, engine)
    aws = connect(options.region, options.account)
    registry = Registry(options.registry or aws.registry, aws.authorization())
    repositories = ensure_repositories(aws, list(dict.fromkeys(image.repository for image in images)), options.dry_run)
    missing = lacking(registry, images, source)
    if missing and not options.dry_run:
        for repository in repositories:
            registry.check_upload(repository)
    if missing:
        _upload(settings, options, engine, registry, missing)
    elif source.commit:
        say(f"push: commit {source.commit} is in {registry.address} already, nothing is built")
    changed = set_tags(registry, images, repositories, options.dry_run)
    if not missing and not changed:
        say("push: nothing to do")
    say("push: image URIs" + (" that it would have" if options.dry_run else ""))
    for image in images:
        say(image.name(registry, image.tags.best))
    return 0


def lacking(registry: Registry, images: Sequence[Image], source: Source) -> list[Image]:
    """Return the images that the registry lacks. Raise ``LocalError`` when a version there is another commit's."""
    missing = []
    for image in images:
        there = registry.manifest(image.repository, image.tags.upload) if source.commit else None
        for tag in image.tags.fixed if source.commit else ():
            other = registry.manifest(image.repository, tag)
            if other and (there is None or other.digest != there.digest):
                raise LocalError(
                    f"{image.name(registry, tag)} is there already, made from another commit, and a version's tag "
                    f"never moves: raise the version in {VERSION_FILE}, or name another tag with --tag"
                )
        if there is None:
            missing.append(image)
    return missing


def _upload(settings: Settings, options: Options, engine: Engine, registry: Registry, images: Sequence[Image]) -> None:
    for platform in dict.fromkeys(image.platform for image in images):
        of_platform = {image.kind: image for image in images if image.platform == platform}
        if options.dry_run:
            for image in of_platform.values():
                say(f"push: would build {image.kind} for {platform} and push {image.name(registry, image.tags.upload)}")
            continue
        names = {kind: image.name(registry, image.tags.upload) for kind, image in of_platform.items()}
        foreign = platform if platform != f"linux/{engine_arch(engine)}" else None
        build_images(settings, engine, names=names, platform=foreign)
        with login(registry.address, registry.authorization) as env:
            for kind, name in names.items():
                say(f"push: {name}")
                _push_one(engine, registry, of_platform[kind], name, env)


def _push_one(engine: Engine, registry: Registry, image: Image, name: str, env: dict[str, str]) -> None:
    if not pushes_oci(engine, name):
        push_image(engine, name, env)
        return
    # An immutable tag can't be corrected afterwards, so the layers go up under a moving one.
    staging = f"dirty-{image.kind}"
    staged = image.name(registry, staging)
    tagged = engine.capture("tag", name, staged)
    if not tagged.ok:
        raise LocalError(f"docker tag {name} failed: {tagged.err.strip()}")
    push_image(engine, staged, env)
    manifest = registry.manifest(image.repository, staging)
    if manifest is None:
        raise LocalError(f"{staged} was pushed, but the registry doesn't have it")
    registry.tag(image.repository, image.tags.upload, manifest.as_docker())


def set_tags(
    registry: Registry, images: Sequence[Image], repositories: dict[str, dict[str, Any]], dry_run: bool
) -> bool:
    """Set every tag that isn't there yet, the moving ones last; return whether there was any. Raise ``LocalError``."""
    manifests = {image: registry.manifest(image.repository, image.tags.upload) for image in images}
    changed = False
    for moving in (False, True):
        for image, manifest in manifests.items():
            for tag in image.tags.moving if moving else image.tags.fixed:
                if dry_run and manifest is None:
                    say(f"push: would tag {image.name(registry, tag)}")
                    continue
                if manifest is None:
                    raise LocalError(f"{image.name(registry, image.tags.upload)} was pushed, but isn't there")
                changed |= _set_tag(registry, image, tag, manifest, repositories[image.repository], moving, dry_run)
    return changed


def _set_tag(
    registry: Registry,
    image: Image,
    tag: str,
    manifest: Manifest,
    repository: dict[str, Any],
    moving: bool,
    dry_run: bool,
) -> bool:
    name = image.name(registry, tag)
    there = registry.manifest(image.repository, tag)
    if there and there.digest == manifest.digest:
        return False
    if there and not moving:
        raise LocalError(f"{name} is there already and is another image: name another tag with --tag")
    if there and not may_move(repository, tag):
        warn(f"{name} stays what it was: the repository's tags are immutable, without an exception for this one")
        return False
    say(f"push: {'would tag' if dry_run else 'tagged'} {name}")
    if not dry_run:
        registry.tag(image.repository, tag, manifest)
    return True
