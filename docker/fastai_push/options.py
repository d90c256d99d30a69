"""The command line of build_and_push.sh."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastai_local.errors import UsageError
from fastai_local.settings import DEVICES

DESCRIPTION = """\
Builds both images, pushes them to Amazon ECR and prints their URIs last. Repositories that are absent are created:
scanned on push, their tags immutable but for the moving ones. A commit that is there already is not built again.
"""
EPILOG = """\
tags:  VERSION-DEVICE (or --tag), COMMIT-DEVICE and DEVICE, which moves; other platforms than amd64 add theirs, as
       in 0.1.0-cpu-arm64. Each is a plain manifest, since SageMaker takes no multi-platform index.
       A working tree with changes is pushed with --allow-dirty alone, as dirty-DEVICE and --tag if it is given.

Credentials, profile and endpoint are those of any AWS tool: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...
They need ecr:GetAuthorizationToken, DescribeRepositories, CreateRepository (for absent ones), BatchGetImage,
BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload and PutImage.
BASE_IMAGE names another base image. ECR_REGISTRY is --registry.
"""
# The API's own patterns (CreateRepository's repositoryName, an image's tag).
_REPOSITORY = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PLATFORM = re.compile(r"linux/[a-z0-9]+(?:/v[0-9]+)?")
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?")
_REGION = re.compile(r"[a-z0-9-]+")
DEFAULT_REPOSITORY = "fastai-sagemaker"


@dataclass(frozen=True)
class Options:
    """What was asked for; None is what was left to be found out."""

    device: str = "cpu"
    region: str | None = None
    repository: str = DEFAULT_REPOSITORY
    account: str | None = None
    tag: str | None = None
    platforms: tuple[str, ...] = ()
    registry: str | None = None
    allow_dirty: bool = False
    dry_run: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message}; {self.prog} --help lists the options")


def parse(arguments: Sequence[str], env: Mapping[str, str]) -> Options:
    """Read the arguments, and what the environment says in their stead. Raise ``UsageError``."""
    parser = _Parser(
        prog="build_and_push.sh",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--device", choices=DEVICES, default=env.get("DEVICE") or "cpu", help="default: cpu")
    add("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, the profile's")
    name = f"NAME-serving and NAME-training are the repositories; default: {DEFAULT_REPOSITORY}"
    add("--repository", metavar="NAME", default=DEFAULT_REPOSITORY, help=name)
    add("--account", help="the account whose registry it is; default: that of the credentials")
    add("--tag", help="in place of VERSION-DEVICE")
    add("--platform", metavar="LIST", default="", help="as in linux/amd64,linux/arm64; default: the engine's own")
    add("--registry", metavar="HOST", default=env.get("ECR_REGISTRY"), help="a private address of the registry")
    add("--allow-dirty", action="store_true", help="push a working tree that has changes, as dirty-DEVICE")
    add("--dry-run", action="store_true", help="check everything, change nothing, say what would be done")
    given = parser.parse_args(arguments)
    platforms = tuple(dict.fromkeys(filter(None, (item.strip() for item in given.platform.split(",")))))
    device = _checked("--device", given.device, re.compile("|".join(DEVICES)), "it is cpu or gpu")
    for platform in platforms:
        _checked("--platform", platform, _PLATFORM, "write linux/amd64 or linux/arm64, with commas between")
    return Options(
        device=device,
        region=_checked("--region", given.region, _REGION, "it is a region's name such as eu-west-1"),
        repository=_checked("--repository", given.repository, _REPOSITORY, "lower case, digits and ._-/ between"),
        account=_checked("--account", given.account, re.compile(r"[0-9]{12}"), "it is a number of 12 digits"),
        tag=_checked("--tag", given.tag, _TAG, "letters, digits and _.- make a tag, 128 of them at most"),
        platforms=platforms,
        registry=_checked("--registry", given.registry, _REGISTRY, "it is a host's name, with :PORT if need be"),
        allow_dirty=given.allow_dirty,
        dry_run=given.dry_run,
    )


def _checked(option: str, value: str | None, pattern: re.Pattern[str], rule: str):  # type: ignore[no-untyped-def]
    if value is not None and not pattern.fullmatch(value):
        raise UsageError(f"{option} {value}: {rule}")
    return value
