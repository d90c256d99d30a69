"""This process among those that train one model, as torchrun's variables say; torch is imported when it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


#: A process that says nothing for so long is taken for dead (one that dies properly closes its sockets at once).
SILENCE = timedelta(seconds=120)
#: Before training, hosts wait for each other: each takes its own time to read and check its pictures.
START = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """This process among all: ``rank`` of ``world``, the ``local_rank``-th of ``on_host`` on its host."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    on_host: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Processes:
        """By RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, as torchrun sets them."""
        defaults = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
        return cls(*(int(environment.get(name) or default) for name, default in defaults.items()))

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.world > 1

    def device(self) -> torch.device:
        import torch

        if not torch.cuda.is_available():
            return torch.device("cpu")
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def start(self, device: torch.device) -> None:
        """Meet the other processes, for which MASTER_ADDR and MASTER_PORT must be set."""
        from torch import distributed

        if self.several:
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, timeout=START)

    def end(self) -> None:
        from torch import distributed

        if self.several and distributed.is_initialized():
            distributed.barrier()
            distributed.destroy_process_group()

    def training_group(self) -> Any:
        """The group that gradients go through; None for a single process."""
        from torch import distributed

        return distributed.new_group(timeout=SILENCE) if self.several else None

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process; all must ask."""
        import torch
        from torch import distributed

        if not self.several:
            return flag
        value = torch.tensor([int(flag)])
        distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return bool(value.item())

    def from_main(self, value: Any) -> Any:
        """Rank 0's ``value`` in every process."""
        from torch import distributed

        if not self.several:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's ``value``, by rank, in every process."""
        from torch import distributed

        if not self.several:
            return [value]
        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values
