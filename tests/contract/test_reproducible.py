"""The same commit, built anew: the same files, with the same bytes and times."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import uuid
from pathlib import Path

import docker
import pytest

from fastai_local.build_secrets import build_secrets
from tests.conftest import ROOT
from tests.engine import docker_client, require_engine

pytestmark = pytest.mark.engine

#: The commit's time; none of the steps' own.
EPOCH = 1_790_000_000
OURS = "opt/fastai-sagemaker/"
#: Folders that COPY makes when the image is put together have the time of then; what is in them has its own.
MADE_BY_COPY = {"opt", "opt/java", "opt/venv", OURS.rstrip("/"), OURS + "lib", OURS + "licenses", OURS + "python"}

#: Java's archive of loaded classes holds addresses, which the kernel draws anew for each process.
OTHER_BYTES = ["opt/java/lib/server/classes.jsa"]


def files(client: docker.DockerClient, tag: str, target: Path) -> dict[str, tuple[int, int, str]]:
    """Time, mode and SHA-256 (of a link: where it leads) of everything below /opt."""
    container = client.containers.create(tag, "true")
    try:
        chunks, _ = container.get_archive("/opt")
        with target.open("wb") as file:
            file.writelines(chunks)
    finally:
        container.remove(force=True)
    found = {}
    with tarfile.open(target) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            text = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
            found[member.name] = (int(member.mtime), member.mode, text)
    return found


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, tuple[int, int, str]]]:
    """What is in the serving image as it is built, and built anew but for Debian's own packages."""
    engine, client = require_engine(), docker_client()
    start = ["buildx", "build", "--load", "--provenance=false"] if engine.builder == "buildx" else ["build"]
    results = []
    for rebuild in ("0", uuid.uuid4().hex):
        tag = f"fastai-sagemaker-test-rebuild:{rebuild}"
        command = engine.command(*start, "--quiet", "--file", ROOT / "docker" / "Dockerfile", "--target", "serving")
        command += ["--tag", tag, "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}", "--build-arg", f"REBUILD={rebuild}"]
        with build_secrets(ROOT) as secrets:
            done = subprocess.run(
                [*command, *secrets, str(ROOT)],
                env=os.environ | {"DOCKER_BUILDKIT": "1"},
                capture_output=True,
                text=True,
                timeout=800,
                check=False,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        results.append(files(client, tag, tmp_path_factory.mktemp("image") / "opt.tar"))
        client.images.remove(tag, force=True)
    return results


def test_the_same_files_with_the_same_bytes(builds):
    first, again = ({name: facts[1:] for name, facts in build.items()} for build in builds)
    assert set(first) == set(again)
    assert [name for name, facts in first.items() if again[name] != facts and name not in OTHER_BYTES] == []


def test_the_same_times(builds):
    first, again = builds
    assert [name for name in first if first[name][0] != again[name][0] and name not in MADE_BY_COPY] == []


def test_our_files_have_the_commits_time(builds):
    ours = {name: facts[0] for name, facts in builds[0].items() if name.startswith(OURS + "python/")}
    assert len(ours) > 10
    assert set(ours.values()) == {EPOCH}
