from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_push import cli, docker_push
from fastai_push.options import Options
from fastai_push.source import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_login_is_beside_the_users_own_settings_and_goes_away(tmp_path: Path) -> None:
    users = tmp_path / ".docker"
    (users / "contexts").mkdir(parents=True)
    (users / "contexts" / "mine").touch()
    own = {"auths": {"other": {"auth": "x"}}, "credsStore": "desktop", "currentContext": "colima"}
    (users / "config.json").write_text(json.dumps(own))
    with docker_push.login("registry:5000", "dXNlcg==", {"DOCKER_CONFIG": str(users)}) as env:
        folder = Path(env["DOCKER_CONFIG"])
        config = json.loads((folder / "config.json").read_text())
        assert config == {"currentContext": "colima", "auths": {"registry:5000": {"auth": "dXNlcg=="}}}
        assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (folder / "contexts" / "mine").is_file()
    assert not folder.exists()
    assert json.loads((users / "config.json").read_text()) == own
    assert (users / "contexts" / "mine").is_file(), "the links go, what they lead to stays"


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


class Builder(Engine):
    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        return Result(0, "Name: default\nDriver: docker\nPlatforms: linux/amd64*, linux/amd64/v2, linux/arm64\n")


def test_a_platform_is_asked_of_the_builder() -> None:
    buildx = Builder("docker", "28.0", "28.0", "amd64", "buildx")
    docker_push.require_platforms(buildx, ("linux/amd64", "linux/arm64"))
    with pytest.raises(LocalError, match=r"not for linux/s390x: that takes emulation .*--install s390x"):
        docker_push.require_platforms(buildx, ("linux/s390x",))
    old = Builder("docker", "20.10", "20.10", "amd64", "built-in")
    docker_push.require_platforms(old, ("linux/amd64",))
    with pytest.raises(LocalError, match="needs the plug-in buildx"):
        docker_push.require_platforms(old, ("linux/arm64",))


def test_a_python_without_boto3_starts_one_with_it(tmp_path: Path, monkeypatch) -> None:
    started = []
    monkeypatch.setattr(cli, "has_boto3", lambda: False)
    monkeypatch.setattr(cli, "ensure_side_environment", lambda settings, name, file: Path(f"/{name}/{file.name}"))
    monkeypatch.setattr(cli.os, "execv", lambda program, command: started.append(command) or exit(0))
    with pytest.raises(SystemExit):
        cli.main(["--dry-run"])
    assert started == [["/push/push.txt", "-m", "fastai_push", "--dry-run"]]
