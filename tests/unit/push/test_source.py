from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fastai_local.errors import LocalError
from fastai_local.settings import VERSION_FILE, Settings
from fastai_push.options import Options
from fastai_push.source import Source, identify

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_tags_say_the_device_and_other_platforms() -> None:
    source = Source(COMMIT, "1.2.3")
    plain = source.tags(Options(), "amd64")
    assert (plain.upload, plain.fixed, plain.moving) == ("0123456789ab-cpu", ("1.2.3-cpu",), ("cpu",))
    arm = source.tags(Options(device="gpu"), "arm64")
    assert (arm.upload, arm.fixed, arm.moving) == ("0123456789ab-gpu-arm64", ("1.2.3-gpu-arm64",), ("gpu-arm64",))
    both = Options(tag="mine", platforms=("linux/amd64", "linux/arm64"))
    assert [source.tags(both, arch).best for arch in ("amd64", "arm64")] == ["mine-amd64", "mine-arm64"]
    own = Source(COMMIT, "1.2.3", "cafe0123").tags(Options(), "amd64")
    assert own.upload == "0123456789ab-cafe0123-cpu"


def test_a_tree_with_changes_has_no_tag_that_stays_but_the_one_given() -> None:
    dirty = Source(None, "1.2.3")
    tags = dirty.tags(Options(device="gpu"), "amd64")
    assert (tags.upload, tags.fixed, tags.moving, tags.best) == ("dirty-gpu", (), (), "dirty-gpu")
    assert dirty.tags(Options(tag="mine"), "amd64").best == "mine"


def git(folder: Path, *command: str) -> str:
    words = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / VERSION_FILE).parent.mkdir(parents=True)
    (tmp_path / VERSION_FILE).write_text('__version__ = "1.2.3"\n')
    (tmp_path / ".gitignore").write_text("docker/weights/*\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    return tmp_path


def test_a_clean_checkout_is_its_commit_and_version(checkout: Path) -> None:
    assert identify(Settings(root=checkout), Options()) == Source(git(checkout, "rev-parse", "HEAD"), "1.2.3")


def test_changes_are_pushed_only_when_it_is_said(checkout: Path) -> None:
    (checkout / "new").touch()
    with pytest.raises(LocalError, match=r"has changes .*: commit first, or push it as dirty-cpu with --allow-dirty"):
        identify(Settings(root=checkout), Options())
    assert identify(Settings(root=checkout), Options(allow_dirty=True)) == Source(None, "1.2.3")


def test_a_folder_without_git_is_named_as_such(checkout: Path) -> None:
    (checkout / ".git").rename(checkout / "elsewhere")
    with pytest.raises(LocalError, match="no git checkout"):
        identify(Settings(root=checkout), Options())


def test_what_ships_beside_the_commit_is_in_its_name(checkout: Path) -> None:
    """Else a push would take the plain commit's images for those with a user's own weights."""
    weights = checkout / "docker" / "weights"
    weights.mkdir(parents=True)
    (weights / "README.md").write_text("is in every checkout")
    assert identify(Settings(root=checkout), Options()).more == ""
    (weights / "resnet18.pth").write_bytes(b"one")
    first = identify(Settings(root=checkout), Options()).more
    (weights / "resnet18.pth").write_bytes(b"two")
    second = identify(Settings(root=checkout), Options()).more
    based = identify(Settings(root=checkout, base_image="mine:1"), Options()).more
    assert len({"", first, second, based}) == 4
    assert len(first) == 8
