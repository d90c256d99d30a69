"""``make push``: build_and_push.sh, a program of its own, since it needs boto3 and this one nothing but Python."""

from __future__ import annotations

import sys

from fastai_local.process import stream
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("push", "", "builds both images and pushes them to Amazon ECR", "DEVICE=cpu|gpu", 'ARGS="--dry-run"')
def push_command(settings: Settings) -> int:
    """Run build_and_push.sh with ``ARGS``; its exit code is ours."""
    arguments = ["--device", settings.device, *settings.args]
    return stream([sys.executable, "-m", "fastai_push", *arguments], cwd=settings.root)
