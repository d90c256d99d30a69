"""The hosts and GPUs of a job, from resourceconfig.json, and how torchrun is started on them."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastai_container.errors import UserError
from fastai_container.sagemaker import RENDEZVOUS_PORT, RESOLVE_SECONDS
from fastai_training import config_files
from fastai_training.console import Log

INTERFACES = Path("/sys/class/net")


class ClusterError(UserError):
    """Another host of the job can't be found."""


@dataclass(frozen=True)
class Cluster:
    """``hosts`` are sorted and the same on every host; the first one is where all others meet."""

    current: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    interface: str | None = None

    @classmethod
    def read(cls, config: Path) -> Cluster:
        """Read the job's hosts from the folder of its configuration. Raises ConfigFileError."""
        content = config_files.read_resources(config)
        interface = content.get("network_interface_name")
        return cls(content["current_host"], tuple(sorted(content["hosts"])), str(interface) if interface else None)

    @property
    def first(self) -> str:
        return self.hosts[0]

    @property
    def rank(self) -> int:
        """This host's place among the hosts."""
        return self.hosts.index(self.current)

    def torchrun(self, processes: int, program: list[str]) -> list[str]:
        """The command that runs ``program`` (a file or ``-m module``, with arguments) ``processes`` times here."""
        # -P: the working directory's files must not shadow torch's own imports.
        command = [
            sys.executable,
            "-P",
            "-m",
            "torch.distributed.run",
            f"--nproc-per-node={processes}",
            "--max-restarts=0",
        ]
        if len(self.hosts) == 1:
            # A container's own name need not resolve (it doesn't without a network).
            return [*command, "--standalone", "--local-addr=127.0.0.1", *program]
        return [
            *command,
            f"--nnodes={len(self.hosts)}",
            f"--node-rank={self.rank}",
            f"--master-addr={self.first}",
            f"--master-port={RENDEZVOUS_PORT}",
            *program,
        ]

    def network_environment(self) -> dict[str, str]:
        """Which interface NCCL and gloo talk through; the one in resourceconfig.json only if this container has it."""
        if len(self.hosts) == 1:
            return {}
        name = self.interface
        if not name or not (INTERFACES / name).exists():
            name = _interface_towards(self.first)
            if name is None:
                return {}
        return {
            variable: name for variable in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME") if variable not in os.environ
        }

    def meeting_point(self, environment: Mapping[str, str]) -> dict[str, str]:
        """MASTER_ADDR and MASTER_PORT as sagemaker-pytorch-training sets them, unless they are set already."""
        wanted = {"MASTER_ADDR": self.first, "MASTER_PORT": str(RENDEZVOUS_PORT)}
        return {name: value for name, value in wanted.items() if name not in environment}

    def wait_for_names(self, log: Log, *, seconds: float = RESOLVE_SECONDS, pause: float = 1.0) -> None:
        """Wait until every host's name resolves. Raises ClusterError after ``seconds``."""
        if len(self.hosts) == 1:
            return
        end, said = time.monotonic() + seconds, False
        for host in self.hosts:
            while True:
                try:
                    socket.getaddrinfo(host, None)
                    break
                except OSError as error:
                    if time.monotonic() >= end:
                        raise ClusterError(
                            f"the name of host {host} did not resolve within {seconds / 60:.0f} minutes ({error}); "
                            "did that host start, and is it on the same network?"
                        ) from None
                    if not said:
                        log(f"waiting for the name of host {host} to resolve")
                        said = True
                time.sleep(pause)


def _interface_towards(host: str) -> str | None:
    """The interface that packets to ``host`` leave by; None when that can't be told."""
    import fcntl
    import struct

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, RENDEZVOUS_PORT))  # sends nothing
            address = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                try:
                    request = struct.pack("256s", name.encode()[:15])
                    answer = fcntl.ioctl(probe.fileno(), 0x8915, request)  # SIOCGIFADDR
                except OSError:
                    continue
                # The first host reaches itself over the loopback interface's route, but by its own address.
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    except OSError:
        pass
    return None
