from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_training.config_files import ConfigFileError
from fastai_training.job import hosts
from fastai_training.job.hosts import Cluster, ClusterError


def write(folder: Path, **content: object) -> Path:
    (folder / "resourceconfig.json").write_text(json.dumps(content))
    return folder


def test_no_file_is_one_host(tmp_path: Path):
    assert Cluster.read(tmp_path) == Cluster("algo-1", ("algo-1",), None)


def test_hosts_are_sorted_and_ranked(tmp_path: Path):
    read = Cluster.read(
        write(tmp_path, current_host="algo-2", hosts=["algo-2", "algo-1"], network_interface_name="eth0")
    )
    assert (read.first, read.rank, read.hosts) == ("algo-1", 1, ("algo-1", "algo-2"))
    command = read.torchrun(4, ["train.py", "--lr", "1"])
    assert command[-2:] == ["--lr", "1"]
    for option in ("--nnodes=2", "--node-rank=1", "--nproc-per-node=4", "--master-addr=algo-1"):
        assert option in command


def test_one_host_needs_no_network(tmp_path: Path):
    read = Cluster.read(write(tmp_path, current_host="algo-1", hosts=["algo-1"], network_interface_name="eth0"))
    assert "--standalone" in read.torchrun(2, ["-m", "fastai_training"])
    assert read.network_environment() == {}
    read.wait_for_names(pytest.fail)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"hosts": ["a"], "current_host": "b"}', '{"hosts": 3, "current_host": "b"}', "null"]
)
def test_a_file_that_can_not_be_used(tmp_path: Path, text: str):
    (tmp_path / "resourceconfig.json").write_text(text)
    with pytest.raises(ConfigFileError, match="current_host"):
        Cluster.read(tmp_path)


def test_an_interface_is_used_only_if_it_exists(monkeypatch: pytest.MonkeyPatch):
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    assert Cluster("127.0.0.1", ("127.0.0.1", "b"), "lo").network_environment() == {
        "NCCL_SOCKET_IFNAME": "lo",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    found = Cluster("127.0.0.1", ("127.0.0.1", "b"), "ethwe").network_environment()
    assert set(found.values()) == {"lo"}
    monkeypatch.setattr(hosts, "_interface_towards", lambda _host: None)
    assert Cluster("a", ("a", "b"), "ethwe").network_environment() == {}
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    assert "GLOO_SOCKET_IFNAME" not in Cluster("a", ("a", "b"), "lo").network_environment()


def test_a_name_that_never_resolves(capsys: pytest.CaptureFixture[str]):
    said: list[str] = []
    with pytest.raises(ClusterError, match=r"host b\.invalid did not resolve"):
        Cluster("127.0.0.1", ("127.0.0.1", "b.invalid"), None).wait_for_names(said.append, seconds=0.1, pause=0.05)
    assert said in ([], ["waiting for the name of host b.invalid to resolve"])


def test_where_the_hosts_meet_unless_it_is_set():
    both = Cluster("algo-2", ("algo-1", "algo-2"))
    assert both.meeting_point({}) == {"MASTER_ADDR": "algo-1", "MASTER_PORT": "7777"}
    assert both.meeting_point({"MASTER_ADDR": "10.0.0.7"}) == {"MASTER_PORT": "7777"}
