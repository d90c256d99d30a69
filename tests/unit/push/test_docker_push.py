from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_push import docker_push


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
