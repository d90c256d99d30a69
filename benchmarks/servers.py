"""How each server is started, found ready and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load
from benchmarks.common import BUILD, MODEL, ROOT, pss_mb
from benchmarks.local_tools import ENGINE, engine, side_environment

CORES = len(os.sched_getaffinity(0))
IMAGE = os.environ.get("SERVING_IMAGE") or "fastai-sagemaker-serving:cpu"
#: Whose idle processes poll, a tenth of a core and more: they stand still while another server is measured.
POLLING = ("litserve",)
BASELINES = ("stock", "litserve", "torchserve", "uvicorn")
START_SECONDS = 180
STOP_SECONDS = 15


class BenchError(RuntimeError):
    """A server that doesn't start or doesn't answer; the end of its log is in the message."""


def environment(baseline: str) -> Path:
    """build/bench-<baseline>, made if need be; its Python."""
    requirements = ROOT / "benchmarks" / "baselines" / baseline / "requirements.txt"
    return side_environment(f"bench-{baseline}", requirements, torch=True)


def low_port() -> int:
    # multi-model-server takes no port above 32766
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError("no port is free")


@dataclass
class Server:
    """``kind``: ours, ours-native or a baseline; ``variant``: torch, bf16 or int8; ``workers`` None: one per core."""

    kind: str
    variant: str
    workers: int | None = None
    port: int = 0
    path: str = "/invocations"
    process: subprocess.Popen[bytes] | None = None
    folder: Path = field(default_factory=Path)
    started: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.variant}"

    @property
    def count(self) -> int:
        return self.workers or CORES

    @property
    def container(self) -> str:
        return f"fastai-sagemaker-bench-{os.getpid()}-{self.port}"

    def start(self) -> None:
        """Starts it; ``wait`` tells when it answers."""
        self.port = low_port()
        self.folder = BUILD / "bench-run" / f"{self.kind}-{self.variant}-{self.port}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command, variables = COMMANDS[self.kind](self)
        paths = [str(ROOT), str(ROOT / "container"), str(ROOT / "serving")]
        known = {name: value for name, value in os.environ.items() if name not in ("QUICK", "PYTHONPATH")}
        env = known | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"} | variables
        with (self.folder / "log").open("wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def _variables(self) -> dict[str, str]:
        return {"BASELINE_MODELS": str(MODEL), "BASELINE_VARIANT": self.variant, "BASELINE_PORT": str(self.port)}

    def _ours(self) -> tuple[list[str], dict[str, str]]:
        command = [ENGINE, "run", "--rm", "--name", self.container, "--network", "host"]
        command += ["--env", f"SAGEMAKER_BIND_TO_PORT={self.port}"]
        command += ["--env", f"SAGEMAKER_MODEL_SERVER_WORKERS={self.workers}"] if self.workers else []
        command += ["--volume", f"{MODEL / self.variant}:/opt/ml/model:ro", IMAGE, "serve"]
        return command, {}

    def _ours_native(self) -> tuple[list[str], dict[str, str]]:
        (self.folder / "model").symlink_to(MODEL / self.variant, target_is_directory=True)
        variables = {"SAGEMAKER_BASE_DIR": str(self.folder), "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        if self.workers:
            variables["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(self.workers)
        return [sys.executable, "-m", "fastai_sagemaker", "serve"], variables

    def _stock(self) -> tuple[list[str], dict[str, str]]:
        python = environment("stock")
        folder = self.folder / "model"
        (folder / "code").mkdir(parents=True)
        shutil.copyfile(ROOT / "benchmarks" / "baselines" / "stock" / "inference.py", folder / "code" / "inference.py")
        # sagemaker-inference's own configuration. Its start_model_server writes it to /etc and allows one server.
        write = (
            "import sys; from sagemaker_inference import model_server as m, environment as e; "
            "open(sys.argv[1], 'w').write(m._generate_mms_config_properties(e.Environment(), m.DEFAULT_HANDLER_SERVICE)"
            "); print(m.DEFAULT_MMS_LOG_FILE)"
        )
        variables = self._variables() | {
            "SAGEMAKER_BASE_DIR": str(self.folder),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "TMPDIR": str(self.folder),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (folder / "code", ROOT, ROOT / "container", ROOT / "serving"))),
        }
        if self.workers:
            variables["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(self.workers)
        properties = self.folder / "mms.properties"
        done = subprocess.run(
            [str(python), "-c", write, str(properties)],
            env=os.environ | variables, capture_output=True, text=True, check=True,
        )  # fmt: skip
        command = [str(python.parent / "multi-model-server"), "--start", "--foreground", "--model-store", "/"]
        command += ["--mms-config", str(properties), "--log-config", done.stdout.split()[-1]]
        return [*command, "--models", f"model={folder}"], variables

    def _litserve(self) -> tuple[list[str], dict[str, str]]:
        python = environment("litserve")
        variables = self._variables() | {"BASELINE_WORKERS": str(self.count), "OMP_NUM_THREADS": "1"}
        return [str(python), "-m", "benchmarks.baselines.litserve.server"], variables

    def _uvicorn(self) -> tuple[list[str], dict[str, str]]:
        python = environment("uvicorn")
        command = [str(python), "-m", "uvicorn", "benchmarks.baselines.uvicorn.server:app", "--port", str(self.port)]
        command += ["--workers", str(self.count), "--no-access-log", "--log-level", "warning"]
        return command, self._variables() | {"OMP_NUM_THREADS": "1"}

    def _torchserve(self) -> tuple[list[str], dict[str, str]]:
        python = environment("torchserve")
        store = self.folder / "store"
        store.mkdir()
        subprocess.run(
            [
                str(python.parent / "torch-model-archiver"), "--model-name", "classifier", "--version", "1.0",
                "--handler", str(ROOT / "benchmarks" / "baselines" / "torchserve" / "handler.py"),
                "--export-path", str(store),
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        # one millisecond to wait for company, as for LitServe
        registered = {
            "minWorkers": self.count, "maxWorkers": self.count, "batchSize": 8, "maxBatchDelay": 1,
            "responseTimeout": 120, "defaultVersion": True, "marName": "classifier.mar",
        }  # fmt: skip
        lines = [
            f"inference_address=http://127.0.0.1:{self.port}",
            *(
                f"{name}_address=http://127.0.0.1:{_after(self.port, step)}"
                for step, name in ((1, "management"), (2, "metrics"))
            ),
            *(f"grpc_{name}_port={_after(self.port, step)}" for step, name in ((3, "inference"), (4, "management"))),
            f"model_store={store}",
            "load_models=classifier.mar",
            "models=" + json.dumps({"classifier": {"1.0": registered}}),
            "job_queue_size=1000",
            "disable_token_authorization=true",
        ]
        (self.folder / "config.properties").write_text("\n".join(lines) + "\n")
        self.path = "/predictions/classifier"
        variables = self._variables() | {
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "TEMP": str(self.folder), "TMPDIR": str(self.folder), "LOG_LOCATION": str(self.folder / "logs"),
            "METRICS_LOCATION": str(self.folder / "logs"), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [str(python.parent / "torchserve"), "--start", "--foreground", "--ncs"]
        return [*command, "--ts-config", str(self.folder / "config.properties")], variables

    def wait(self, picture: load.Picture, seconds: float = START_SECONDS) -> float:
        """Until it answers a picture rightly; returns seconds since it was started. Raises BenchError."""
        while time.monotonic() - self.started < seconds:
            with contextlib.suppress(OSError):
                if load.ask(self.port, self.path, picture) == picture.expected:
                    return time.monotonic() - self.started
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise BenchError(f"{self.name} does not answer:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def pids(self) -> list[int]:
        assert self.process is not None
        if self.kind != "ours":
            return [self.process.pid]
        shown = engine("inspect", "--format", "{{.State.Pid}}", self.container)
        return [int(shown.stdout)]

    def memory_mb(self) -> float:
        return pss_mb(self.pids())

    def pause(self) -> None:
        if self.kind in POLLING:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.kind in POLLING:
            self._signal(signal.SIGCONT)
            time.sleep(0.2)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is None:
            return
        if self.kind == "ours":
            engine("rm", "--force", self.container, check=False)
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.process = None


#: How each kind of server is started: its command and variables.
COMMANDS: dict[str, Callable[[Server], tuple[list[str], dict[str, str]]]] = {
    "ours": Server._ours,
    "ours-native": Server._ours_native,
    "stock": Server._stock,
    "litserve": Server._litserve,
    "torchserve": Server._torchserve,
    "uvicorn": Server._uvicorn,
}


def _after(port: int, step: int) -> int:
    return port + 10_000 + step


@contextlib.contextmanager
def running(servers: list[Server], picture: load.Picture) -> Iterator[list[Server]]:
    """Starts them one after another, gives those that answer, and ends them all.

    A baseline that doesn't answer is left out, with a warning; of ours it is a BenchError.
    """
    ready = []
    try:
        for server in servers:
            server.start()
            try:
                seconds = server.wait(picture)
            except BenchError as error:
                if server.kind == "ours":
                    raise
                print(f"warning: left out: {error}", flush=True)
                server.stop()
                continue
            ready.append(server)
            print(f"{server.name}: answers after {seconds:.1f} s, {server.memory_mb():.0f} MB", flush=True)
        yield ready
    finally:
        for server in servers:
            server.stop()
