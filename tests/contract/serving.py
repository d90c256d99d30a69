"""What the tests of serving share: a bounded load of known pictures, and the processes of a container."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from tests.contract.conftest import Endpoint
from tests.waiting import PATIENCE, until

#: Run in a container: every process but the one that asks, as pid, parent's pid and command line.
_PROCESSES = """
import json, os, pathlib
rows = []
for path in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        rows.append([int(path.name), parent, (path / "cmdline").read_bytes().replace(b"\\0", b" ").decode()])
    except OSError:
        pass
print(json.dumps([row for row in rows if row[0] != os.getpid()]))
"""


#: Run in a container: the sum in KB of one field of the memory of the processes named, or of all.
_MEMORY = """
import glob, sys
paths = [f"/proc/{pid}/smaps_rollup" for pid in sys.argv[2:]] or glob.glob("/proc/[0-9]*/smaps_rollup")
print(sum(int(line.split()[1]) for path in paths for line in open(path) if line.startswith(sys.argv[1])))
"""


def memory(endpoint: Endpoint, field: str, *pids: int) -> int:
    """Bytes: ``field`` begins a line of smaps_rollup: "Pss:" (what is shared counts once) or "Private" (both kinds)."""
    command = ["python3", "-P", "-c", _MEMORY, field, *map(str, pids)]
    return int(endpoint.container.exec_run(command).output) * 1024


def direct(endpoint: Endpoint) -> str:
    """The container's own address: the engine's proxy for published ports accepts connections that it then drops."""
    endpoint.container.reload()
    networks = endpoint.container.attrs["NetworkSettings"]["Networks"].values()
    return f"http://{next(iter(networks))['IPAddress']}:8080"


def processes(endpoint: Endpoint) -> dict[str, list[int]]:
    """Process ids inside the container: supervisor, java, parent (multi-model-server's Python) and workers."""
    output = endpoint.container.exec_run(["python3", "-P", "-c", _PROCESSES]).output
    rows = json.loads(output)
    found: dict[str, list[int]] = {"supervisor": [], "java": [], "parent": [], "worker": []}
    java = {pid for pid, _, command in rows if "/bin/java " in command}
    for pid, parent, command in rows:
        if "model_service_worker.py" in command and pid not in java:
            found["parent" if parent in java else "worker"].append(pid)
    found["java"] = sorted(java)
    found["supervisor"] = [pid for pid, _, command in rows if "fastai_sagemaker serve" in command]
    return found


def kill(endpoint: Endpoint, pid: int) -> None:
    done = endpoint.container.exec_run(["python3", "-P", "-c", f"import os; os.kill({pid}, 9)"])
    assert done.exit_code == 0, done.output


def exit_code(endpoint: Endpoint) -> int:
    return int(endpoint.container.wait(timeout=PATIENCE)["StatusCode"])


def last_line(endpoint: Endpoint) -> str:
    return endpoint.log().strip().splitlines()[-1]


@dataclass
class Result:
    name: str
    begin: float
    end: float
    status: int | None = None
    answer: Any = None
    error: str = ""
    #: Whether this was the first request of its connection.
    first: bool = False


@dataclass
class Load:
    """Clients that send pictures until the block's end, each on one connection as long as it holds."""

    url: str
    pictures: dict[str, bytes]
    clients: int = 8
    results: list[Result] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._client, args=(index,)) for index in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, index: int) -> None:
        deadline = time.monotonic() + 4 * PATIENCE
        names = list(self.pictures)
        session, first = requests.Session(), True
        while not self._stop.is_set() and time.monotonic() < deadline:
            index += 1
            name = names[index % len(names)]
            result = Result(name, time.monotonic(), 0, first=first)
            try:
                response = session.post(
                    f"{self.url}/invocations",
                    data=self.pictures[name],
                    headers={"Content-Type": "image/jpeg"},
                    timeout=PATIENCE,
                )
                result.status, result.answer = response.status_code, response.json()
                first = response.headers.get("connection") == "close"
            except (requests.RequestException, ValueError) as error:
                result.error, first = repr(error), True
                session.close()
                session = requests.Session()
                time.sleep(0.02)
            result.end = time.monotonic()
            self.results.append(result)

    def statuses(self) -> Counter[Any]:
        return Counter(result.status or result.error.split("(")[0] for result in list(self.results))

    def wrong(self, expected: dict[str, str]) -> list[Result]:
        """Answers that name another class than this picture's."""
        return [r for r in self.results if r.status == 200 and r.answer["class"] != expected[r.name]]

    def wait_for_answers(self, count: int) -> None:
        """Until so many more good answers have come."""
        before = self.statuses()[200]
        until(lambda: self.statuses()[200] - before >= count, lambda: self.statuses())


def some_pictures(folder: Path, count: int = 24) -> dict[str, bytes]:
    """One picture of each of ``count`` breeds."""
    chosen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jpg")):
        chosen.setdefault(path.name.rpartition("_")[0], path)
    return {path.name: path.read_bytes() for path in list(chosen.values())[:count]}


def photograph(megabytes: float = 4.8) -> bytes:
    """A JPEG of an honest telephone's size, in bytes and in pixels."""
    side = int((megabytes * 1e6 / 0.47) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", quality=60)
    return stream.getvalue()


def classes(endpoint: Endpoint, pictures: dict[str, bytes]) -> dict[str, str]:
    """What each picture is answered when it is asked alone."""
    return {name: endpoint.invoke(body).json()["class"] for name, body in pictures.items()}
