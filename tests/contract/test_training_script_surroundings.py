"""What a script finds around it, as on SageMaker, and what its author is told. Real containers, no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import TRAINING_IMAGE, Job
from tests.contract.test_training_job import SCRIPT, reason, write_code
from tests.engine import docker_client

pytestmark = pytest.mark.engine

#: fastai as a lesson writes it, on synthetic pictures: pretrained weights by name, bars, and an export beside the data.
LESSON = """
import os, sys
from pathlib import Path
for name, folder in sorted(os.environ.items()):
    if name.startswith("SM_") and name.endswith("_DIR") and folder.startswith("/opt/ml"):
        print("FOLDER", name, Path(folder).is_dir(), flush=True)
for name in ("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR", "SM_OUTPUT_INTERMEDIATE_DIR"):
    (Path(os.environ[name]) / "probe").touch()
    (Path(os.environ[name]) / "probe").unlink()
from fastai.vision.all import *
from torchvision.models import squeezenet1_1
for number in range(16):
    for name, color in (("red", (200, number, 30)), ("blue", (30, number, 200))):
        PILImage.create(np.full((40, 40, 3), color, dtype=np.uint8)).save(f"/tmp/{name}_{number}.png")
files = sorted(Path("/tmp").glob("*.png"))
dls = ImageDataLoaders.from_name_func("/tmp/data", files, lambda name: name.split("_")[0], bs=4, num_workers=0)
learn = vision_learner(dls, squeezenet1_1, metrics=error_rate, path=Path.cwd())
learn.fine_tune(2)
learn.get_preds()
learn.export()
print("EXPORTED", flush=True)
"""


@pytest.fixture(scope="module")
def lesson(train: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A folder with nothing but input and code stands for /opt/ml, as in the README's section on plain Docker."""
    folder = tmp_path_factory.mktemp("lesson")
    made = train(
        folder / "weights",
        {"code": write_code(folder, train_py="""\
            import os, torch, torchvision
            state = torchvision.models.squeezenet1_1().state_dict()
            torch.save(state, os.path.join(os.environ["SM_MODEL_DIR"], "squeezenet1_1.pth"))
            """)},
        SCRIPT,
    )  # fmt: skip
    assert made.exit_code == 0, made.log
    ml = folder / "ml"
    (ml / "input" / "config").mkdir(parents=True)
    (ml / "input" / "config" / "hyperparameters.json").write_bytes(
        '{"sagemaker_program": "train.py", "note": "é"}'.encode("utf-16")  # as PowerShell writes it
    )
    (ml / "code").mkdir()
    (ml / "code" / "train.py").write_text(LESSON)
    (ml / "code" / "requirements.txt").write_text("fastai>=2.8\ntorch\ntorchvision\nsagemaker-training\n")
    container = docker_client().containers.run(
        TRAINING_IMAGE,
        "train",
        detach=True,
        network_mode="none",
        volumes={
            str(ml): {"bind": "/opt/ml", "mode": "rw"},
            str(made.model): {"bind": "/opt/ml/input/data/weights", "mode": "ro"},
        },
        labels={"fastai-sagemaker.test": "1"},
    )
    try:
        code = container.wait(timeout=600)["StatusCode"]
        return Job(ml, code, container.logs().decode(errors="replace"))
    finally:
        container.remove(force=True)


def test_the_lesson_trains_without_a_network(lesson: Job):
    assert lesson.exit_code == 0, lesson.log
    assert "EXPORTED" in lesson.log
    assert '"note": "é"' in lesson.log


def test_sagemakers_folders_are_there(lesson: Job):
    said = [line for line in lesson.log.splitlines() if line.startswith("FOLDER ")]
    assert len(said) >= 7, lesson.log
    assert {line.split()[1] for line in said} >= {
        *("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR", "SM_OUTPUT_DIR", "SM_OUTPUT_INTERMEDIATE_DIR"),
        *("SM_INPUT_DIR", "SM_INPUT_CONFIG_DIR", "SM_MODULE_DIR"),
    }
    assert all(line.endswith(" True") for line in said), said


def test_what_is_here_is_not_asked_for(lesson: Job):
    assert "requirements.txt: fastai, torch, torchvision, sagemaker-training are here already" in lesson.log
    assert "Collecting" not in lesson.log
    assert "Successfully installed" not in lesson.log


def test_weights_of_the_channel_are_found_by_name(lesson: Job):
    assert "torch.hub finds without a download: squeezenet1_1.pth, squeezenet1_1-b8a52dc0.pth" in lesson.log
    assert "Downloading" not in lesson.log


def test_the_log_has_a_line_for_each_epoch_and_no_bars(lesson: Job):
    assert "█" not in lesson.log
    assert "\r" not in lesson.log
    rows = [line.split() for line in lesson.log.splitlines()]
    tables = [row for row in rows if row[:2] == ["epoch", "train_loss"]]
    assert len(tables) == 2  # the head alone, then all of it
    epochs = [row for row in rows if len(row) == 5 and row[0] in ("0", "1")]
    assert [row[0] for row in epochs] == ["0", "0", "1"]
    for row in epochs:
        assert 0 <= float(row[3]) <= 1


def test_a_model_that_was_written_elsewhere_is_named(lesson: Job):
    warned = [line for line in lesson.log.splitlines() if line.startswith("warning: the script left")]
    assert warned == [
        "warning: the script left /opt/ml/model empty: model.tar.gz holds nothing. It wrote /opt/ml/code/export.pkl; "
        'write there, as learn.export(os.path.join(os.environ["SM_MODEL_DIR"], "export.pkl")) does'
    ]


@pytest.fixture
def run(train: Callable[..., Job], sagemaker_folder: Path) -> Callable[..., Job]:
    """``run(text, name, **options)``: a job on the script ``name`` with that text."""

    def start(text: str, name: str = "train_py", parameters: dict[str, str] | None = None, **options: object) -> Job:
        code = write_code(sagemaker_folder, **{name: text})
        program = name.replace("_py", ".py").replace("_sh", ".sh")
        return train(
            sagemaker_folder, {"code": code}, SCRIPT | {"sagemaker_program": program} | (parameters or {}), **options
        )

    return start


@pytest.mark.parametrize(
    ("script", "first", "second"),
    [
        (
            "from fastai.vision import *\npath = untar_data(URLs.PETS)\n",
            "the script was written for fastai 1, this image has fastai 2.",
            "NameError: name 'untar_data' is not defined",
        ),
        (
            "from torchvision.models import resnet18\nresnet18(weights='DEFAULT')\n",
            "no network: resnet18-f37072fd.pth can't be downloaded. For pretrained weights there are these ways: a",
            "URLError: <urlopen error ",
        ),
        (
            "import spacy\n",
            "fastai.text needs spaCy, which this image for pictures leaves out: put a line spacy into requirements.txt",
            "ModuleNotFoundError: No module named 'spacy'",
        ),
        (
            "import os, torch\nfrom pathlib import Path\n(Path(os.environ['SM_CHANNEL_CODE']) / 'models').mkdir()\n",
            "/opt/ml/input/data/code/models is in an input channel, which can't be written: give fastai a folder",
            "OSError: [Errno 30] Read-only file system",
        ),
    ],
    ids=["fastai-1", "weights", "spacy", "read-only-channel"],
)
def test_what_scripts_written_elsewhere_run_into(run: Callable[..., Job], script: str, first: str, second: str):
    job = run(script)
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0].startswith(first)
    assert lines[1].startswith(second)
    assert lines[2].startswith("in train.py, line ")


def test_windows_line_ends(run: Callable[..., Job]):
    job = run("#!/bin/bash\r\necho RAN\r\n", "run_sh")
    assert job.exit_code == 1
    assert reason(job).startswith(
        "run.sh has Windows line ends (CR LF), which no shell here reads; save it with Unix ones"
    )
    assert "RAN" not in job.log


def test_arguments_to_train_are_refused(run: Callable[..., Job]):
    job = run("print('RAN')\n", command=["train", "--epochs", "3"])
    assert job.exit_code == 1
    assert reason(job).startswith("train takes no arguments, it got '--epochs' '3': hyperparameters go into")
    assert "RAN" not in job.log


@pytest.mark.parametrize("name", ["hyperparameters.json", "resourceconfig.json", "inputdataconfig.json"])
def test_json_that_is_nested_deeply_is_one_sentence(run: Callable[..., Job], sagemaker_folder: Path, name: str):
    deep = sagemaker_folder / "deep.json"
    deep.write_text('{"label":' * 10_000 + "1" + "}" * 10_000)
    job = run("print('RAN')\n", volumes={str(deep): {"bind": f"/opt/ml/input/config/{name}", "mode": "ro"}})
    assert job.exit_code == 1
    assert (
        reason(job)
        .splitlines()[0]
        .startswith(f"/opt/ml/input/config/{name} is no usable JSON: it is nested deeper than 64 levels")
    )
    assert "Traceback" not in job.log
    assert "RAN" not in job.log


def test_a_value_that_is_nested_deeply_is_text(run: Callable[..., Job]):
    job = run("import sys\nprint('GOT', len(sys.argv[2]))\n", parameters={"layers": "[" * 5_000})
    assert job.exit_code == 0, job.log
    assert "GOT 5000" in job.log


def test_names_forge_no_lines(run: Callable[..., Job]):
    job = run("", parameters={"sagemaker_program": json.dumps("none\nepoch=1 error_rate=0.0\x1b[2J.py")})
    assert job.exit_code == 1
    assert "\x1b" not in job.log
    assert not [line for line in (job.log + reason(job)).splitlines() if line.startswith("epoch=1")]
    assert reason(job).startswith("The training entry point 'none\\nepoch=1 error_rate=0.0\\x1b[2J.py' cannot be used")
