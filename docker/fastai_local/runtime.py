"""What both ways of running things on this machine can do: containers of an engine, and plain processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path


class Runtime(ABC):
    """A way to train and to serve. Every method raises ``LocalError`` with what to do when it can't."""

    #: As ``RUNTIME=`` names it.
    name: str

    @abstractmethod
    def ensure_base(self) -> None:
        """Get what the images are built on."""

    @abstractmethod
    def build(self) -> None:
        """Build or install all that training and serving need."""

    @abstractmethod
    def train(self, out: Path, channels: Mapping[str, Path]) -> int:
        """Run the job laid out in ``out`` and return its exit code; an interrupt stops it as SageMaker does."""

    @abstractmethod
    def serve(self, model: Path, port: int) -> None:
        """Start an endpoint in the background and wait until it is ready."""

    @abstractmethod
    def stop(self, port: int) -> None:
        """Stop our endpoint on that port, if there is one."""

    @abstractmethod
    def stop_all(self) -> list[str]:
        """Stop all our endpoints and return what was stopped, in words."""

    @abstractmethod
    def serving_on(self, port: int) -> str | None:
        """Return our endpoint on that port, in words."""

    @abstractmethod
    def get_sample_data(self, folder: Path) -> tuple[int, str]:
        """Put sample pictures into the folder; return the exit code and the last line of what does it."""

    @abstractmethod
    def path_here(self, path: Path, folder: Path) -> Path:
        """Return the place on this machine of a path that ``get_sample_data`` printed."""

    @abstractmethod
    def require_space(self, *, strict: bool) -> None:
        """Warn when the disks have too little room for the tests; with ``strict`` raise instead."""
