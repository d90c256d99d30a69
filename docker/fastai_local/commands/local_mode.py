"""``make local-mode``: the SageMaker Python SDK trains and serves on this machine, by the scripts in examples/."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from fastai_local.choose_runtime import find_docker_runtime
from fastai_local.engine import Engine
from fastai_local.errors import LocalError, UsageError
from fastai_local.folders import require_folder
from fastai_local.images import image_name
from fastai_local.native import ensure_side_environment
from fastai_local.ports import free_port
from fastai_local.process import capture, say, stream
from fastai_local.registry import command
from fastai_local.runtime import Runtime
from fastai_local.samples import OWN_DATA, sample_data
from fastai_local.settings import Settings

REQUIREMENTS = {2: "requirements-sdk2.txt", 3: "requirements-sdk3.txt"}
CPU_INSTANCE = {2: "local", 3: "local_cpu"}
GPU_INSTANCE = "local_gpu"
#: The network of all the SDK's jobs, which it leaves.
NETWORK = "sagemaker-local"
#: Docker Compose puts it on every container: the folder of its file, which the SDK makes anew for each job.
COMPOSE_FOLDER = "com.docker.compose.project.working_dir"
GET_COMPOSE = "`make engine` installs it; elsewhere it is the package docker-compose-plugin or docker-compose-v2"


def require_compose(engine: Engine, sdk: int) -> None:
    """Raise ``LocalError`` unless the SDK will find a Docker Compose that it takes."""
    plugin = engine.capture("compose", "version", timeout=20)
    release = re.search(r"version\s+v?(\d+)", plugin.out) if plugin.ok else None
    # Version 2 of the SDK looks for the letters "v2" and takes any program named docker-compose besides.
    if (sdk == 3 and release and int(release[1]) >= 2) or (plugin.ok and "v2" in plugin.out):
        return
    if shutil.which("docker-compose"):
        return
    if release and int(release[1]) > 2:
        raise LocalError(
            f"version {sdk} of the SDK takes Docker Compose 2 alone, this is {plugin.out.strip()}: use SDK=3, or put "
            "a docker-compose of version 2 on PATH"
        )
    raise LocalError(f"the SDK's local mode needs Docker Compose 2 ({GET_COMPOSE})")


def data_of(settings: Settings, runtime: Runtime, work: Path, env: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """Return pictures and hyperparameters that suit them: of DATA, else the pets of PETS_DIR, else a sample."""
    if settings.data:
        return require_folder("DATA", settings.data, "name a folder of pictures"), OWN_DATA
    pets = Path(env["PETS_DIR"]).expanduser().resolve() if env.get("PETS_DIR") else None
    if pets is None:
        return sample_data(runtime, work / "data")
    pets = pets / "images" if (pets / "images").is_dir() else pets
    return require_folder("PETS_DIR", pets, "name the folder of the pets' pictures"), OWN_DATA


def example_command(settings: Settings, python: Path, data: Path, hyperparameters: Mapping[str, str]) -> list[str]:
    """Return the example's command line."""
    images = [settings.training_image or image_name("training", settings.device)]
    images.append(settings.serving_image or image_name("serving", settings.device))
    command = [str(python), str(settings.root / "examples" / f"local_mode_sdk{settings.sdk}.py"), "--data", str(data)]
    command += ["--training-image", images[0], "--serving-image", images[1]]
    command += ["--instance-type", CPU_INSTANCE[settings.sdk] if settings.device == "cpu" else GPU_INSTANCE]
    command += ["--port", str(settings.port or free_port())]
    if settings.script:
        command += ["--script", str(settings.script)]
    return [*command, *(f"{name}={value}" for name, value in hyperparameters.items())]


def remove_containers(engine: Engine, work: Path) -> None:
    """Remove the containers whose compose files lie in ``work``: the SDK leaves them, stopped or not."""
    listed = engine.capture("ps", "--all", "--format", '{{.ID}} {{.Label "' + COMPOSE_FOLDER + '"}}')
    for line in listed.out.splitlines():
        container, _, folder = line.partition(" ")
        if folder and Path(folder).is_relative_to(work):
            engine.capture("rm", "--force", container)


def take_over(engine: Engine, image: str, work: Path) -> None:
    """Change the owner of files written by root in containers to the calling user."""
    if os.getuid() == 0 or engine.rootless or not work.exists():
        return
    chown = ["chown", "-R", f"{os.getuid()}:{os.getgid()}", "/work"]
    engine.capture(
        "run", "--rm", "--user", "0", *engine.label_args(), "--volume", f"{work}:/work", image, *chown, timeout=300
    )


@command(
    "local-mode",
    "",
    "the same by the SageMaker Python SDK's local mode, on PETS_DIR, sample data or",
    "DATA=folder",
    "SDK=2|3",
    'HP="epochs=2"',
    "SCRIPT=examples/pets.py",
    "PORT=number",
    "TRAINING_IMAGE=name SERVING_IMAGE=name",
)
def local_mode_command(settings: Settings) -> int:
    """Train and serve with the SDK. Raise ``LocalError`` with what to do when it can't be."""
    if settings.runtime == "native":
        raise UsageError("RUNTIME=native: the SDK's local mode runs images, so it needs Docker")
    if settings.data:
        require_folder("DATA", settings.data, "name a folder of pictures")
    if settings.script and not settings.script.is_file():
        raise UsageError(f"SCRIPT={settings.script}: there is no such file (a training script, as examples/pets.py is)")
    runtime = find_docker_runtime(settings)
    engine = runtime.engine
    require_compose(engine, settings.sdk)
    if not (settings.training_image and settings.serving_image):
        runtime.build()
    work = settings.build / "local-mode"
    jobs = work / f"sdk{settings.sdk}"
    data, suited = data_of(settings, runtime, work, os.environ)
    python = ensure_side_environment(
        settings, f"sdk{settings.sdk}", settings.root / "examples" / REQUIREMENTS[settings.sdk]
    )
    if settings.script:
        suited = {"epochs": "1", "unfrozen-epochs": "0", "model-arch": "efficientnet_lite0"}
    words = example_command(settings, python, data, {**suited, **settings.hyperparameters})
    version = capture([python, "-c", "import importlib.metadata as m; print(m.version('sagemaker'))"]).out.strip()
    say(f"local-mode: SageMaker Python SDK {version}; " + " ".join(words[1:]))
    shutil.rmtree(jobs, ignore_errors=True)
    jobs.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(shutil.which(engine.cli) or engine.cli).parent), os.environ.get("PATH", "")])
    env = {"TMPDIR": str(jobs), "PYTHONUNBUFFERED": "1", "SAGEMAKER_SUPPRESS_V2_WARNING": "1", "PATH": path}
    had_network = engine.capture("network", "inspect", NETWORK).ok
    try:
        code = stream(words, env=env)
    finally:
        remove_containers(engine, jobs)
        if not had_network:
            engine.capture("network", "rm", NETWORK)
        take_over(engine, settings.training_image or image_name("training", settings.device), jobs)
    if code != 0:
        raise LocalError(f"the example ended with code {code}: the lines above say why (docs/local-mode.md may help)")
    say(f"local-mode: done; models are in {jobs}, docs/local-mode.md has the same as snippets")
    return 0
