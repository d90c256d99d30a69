"""Version 2 of the SDK: the story of the notebook, and what else its users do, on the real engine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.local_mode.conftest import BREEDS, SERVING_IMAGE, SMALL, TRAINING_IMAGE, LocalMode, Run, free_port
from tests.unit.training_data import COLOURS, write_picture

STORIES = Path(__file__).with_name("sdk2_stories.py")
SCRIPT_HYPERPARAMETERS = {
    "model-arch": "efficientnet_lite0",
    "epochs": 1,
    "unfrozen-epochs": 0,
    "image-size": 64,
    "batch-size": 8,
    "workers": 0,
}


def archive(address: str) -> dict[str, bytes]:
    """The files of a model.tar.gz that the SDK made."""
    with tarfile.open(address.removeprefix("file://")) as packed:
        return {one.name: packed.extractfile(one).read() for one in packed if one.isfile()}


@pytest.fixture(scope="session")
def example(local_mode: LocalMode, sdk2_python: Path, few_pets: Path, five_pictures: list[Path]) -> Run:
    """examples/local_mode_sdk2.py as a user runs it: a plain Estimator, the built-in trainer, data by file://."""
    run = local_mode.run(
        sdk2_python,
        ROOT / "examples" / "local_mode_sdk2.py",
        *("--data", str(few_pets), "--port", str(free_port())),
        *("--training-image", TRAINING_IMAGE, "--serving-image", SERVING_IMAGE),
        *("--pictures", *map(str, five_pictures), "--"),
        *(f"{name}={value}" for name, value in SMALL.items()),
    )
    assert run.code == 0, run.log
    return run


@pytest.fixture(scope="session")
def model_data(example: Run) -> str:
    return example.model()


def test_fit_deploy_predict_delete(
    example: Run, model_data: str, five_pictures: list[Path], local_mode: LocalMode
) -> None:
    answers = example.answers()
    assert [name for name, *_ in answers] == [picture.name for picture in five_pictures]
    assert {label for _, label, _ in answers} <= set(BREEDS)
    assert all(100 / len(BREEDS) <= confidence <= 100 for *_, confidence in answers)
    assert json.loads(archive(model_data)["model.json"])["vocab"] == sorted(BREEDS)
    assert local_mode.containers() == []


def test_the_hyperparameters_of_an_estimator_arrive(example: Run) -> None:
    (line,) = re.findall(r"hyperparameters: (.*)", example.log)
    assert {f"{name}={value}" for name, value in SMALL.items()} <= set(line.split())


def test_a_job_goes_on_from_the_model_of_another_with_a_new_class(
    local_mode: LocalMode, sdk2_python: Path, few_pets: Path, model_data: str, tmp_path: Path
) -> None:
    for path in few_pets.iterdir():
        shutil.copy(path, tmp_path)
    for number in range(1, 9):
        write_picture(tmp_path / f"zz_green_{number}.jpg", COLOURS["green"], (320, 240))
    run = local_mode.story(
        sdk2_python,
        STORIES,
        "go_on_from_a_model",
        data=tmp_path,
        model_data=model_data,
        hyperparameters={"epochs": 0, "batch_size": SMALL["batch_size"]},
    )
    manifest = json.loads(archive(run.result["model_data"])["model.json"])
    assert manifest["vocab"] == sorted([*BREEDS, "zz_green"])
    assert manifest["lineage"]["classes"]["new"] == ["zz_green"]
    parent = hashlib.sha256(archive(model_data)["model.json"]).hexdigest()
    assert manifest["lineage"]["parent"]["model_json_sha256"] == parent
    assert re.search(
        rf"parent error_rate=\S+ on \d+ pictures of {len(BREEDS)} classes it knows; now error_rate=", run.log
    )


def test_script_data_and_model_on_s3(
    local_mode: LocalMode, sdk2_python: Path, few_pets: Path, five_pictures: list[Path], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "examples" / "pets.py", tmp_path)
    result = local_mode.story(
        sdk2_python,
        STORIES,
        "script_on_s3",
        data=few_pets,
        source=tmp_path,
        pictures=five_pictures,
        hyperparameters=SCRIPT_HYPERPARAMETERS,
    ).result
    assert result["data"].startswith("s3://")
    assert result["model_data"].startswith("s3://")
    assert {Path(key).name for key in result["stored"]} == {"model.tar.gz", "output.tar.gz", "sourcedir.tar.gz"}
    # pets.py answers with these two alone, so it was the script that answered
    assert [set(answer) for answer in result["answers"]] == [{"class", "confidence"}] * 5
    assert {answer["class"] for answer in result["answers"]} <= set(BREEDS)
    assert local_mode.containers() == []


def test_two_hosts(local_mode: LocalMode, sdk2_python: Path, few_pets: Path) -> None:
    printed = subprocess.run(
        ["docker", "run", "--rm", TRAINING_IMAGE, "python3", "-m", "fastai_training.metrics"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    definitions = json.loads(printed)
    run = local_mode.story(
        sdk2_python, STORIES, "two_hosts", data=few_pets, hyperparameters=SMALL, metric_definitions=definitions
    )
    assert len(set(re.findall(r"Container (\S+-algo-[12]-\w+)  Created", run.log))) == 2
    assert json.loads(archive(run.result["model_data"])["model.json"])["vocab"] == sorted(BREEDS)
    (regex,) = (one["Regex"] for one in definitions if one["Name"] == "final_error_rate")
    assert re.search(regex, run.log)


def test_a_script_of_ones_own_in_the_serving_image(
    local_mode: LocalMode, sdk2_python: Path, model_data: str, five_pictures: list[Path], tmp_path: Path
) -> None:
    own = shutil.copy(model_data.removeprefix("file://"), tmp_path)  # the SDK packs the script into the archive
    source = tmp_path / "source"
    source.mkdir()
    script = (
        "import json\n\ndef output_fn(prediction, accept):\n    return json.dumps({'mine': True}), 'application/json'\n"
    )
    (source / "inference.py").write_text(script)
    result = local_mode.story(
        sdk2_python, STORIES, "script_in_serving", model_data=f"file://{own}", source=source, pictures=five_pictures[:2]
    ).result
    assert result["answers"] == [{"mine": True}] * 2


@pytest.fixture
def no_aws(local_mode: LocalMode) -> LocalMode:
    """Local mode where any request to AWS fails: nothing listens where it would go."""
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    return dataclasses.replace(local_mode, aws={**local_mode.aws, **nowhere, "AWS_MAX_ATTEMPTS": "1"})


def test_transform_asks_nothing_of_aws(
    no_aws: LocalMode, sdk2_python: Path, model_data: str, five_pictures: list[Path], tmp_path: Path
) -> None:
    local_mode = no_aws
    pictures, output = tmp_path / "pictures", tmp_path / "output"
    for folder in (pictures, output):
        folder.mkdir()
    for picture in five_pictures:
        shutil.copy(picture, pictures)
    local_mode.story(sdk2_python, STORIES, "transform", data=pictures, output=output, model_data=model_data)
    answers = {path.name: json.loads(path.read_text()) for path in output.rglob("*.out")}
    assert set(answers) == {f"{picture.name}.out" for picture in five_pictures}
    assert {answer["class"] for answer in answers.values()} <= set(BREEDS)
    assert local_mode.containers() == []


def test_modules_that_are_not_in_the_scripts_folder(no_aws: LocalMode, sdk2_python: Path, tmp_path: Path) -> None:
    """By ``dependencies`` they don't arrive (the SDK mounts source_dir alone), by a channel they do."""
    source, library = tmp_path / "source", tmp_path / "shared"
    for folder in (source, library):
        folder.mkdir()
    (library / "steps.py").write_text("NAME = 'the steps'\n")
    (source / "train.py").write_text(
        "import os, steps\nprint('GOT', steps.NAME, steps.__file__)\n"
        "print('CODE', sorted(os.listdir('/opt/ml/code')))\n"
    )
    run = no_aws.story(sdk2_python, STORIES, "module_beside_the_script", source=source, library=library)
    assert "GOT the steps /opt/ml/input/data/library/steps.py" in run.log
    assert "CODE ['train.py']" in run.log


def test_a_jobs_reason_is_seen(local_mode: LocalMode, sdk2_python: Path, few_pets: Path) -> None:
    run = local_mode.story(sdk2_python, STORIES, "fails", data=few_pets, hyperparameters=SMALL | {"arch": "resnet3000"})
    assert "exited with code: 1" in run.result["error"]
    assert re.search(r"error: .*resnet3000", run.log)
    assert "Traceback" not in run.log
