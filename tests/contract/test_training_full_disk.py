"""A disk that is full, and folders that can't be written: what the user is told. Real containers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fastai_training.diagnosis.failure_reason import resource_reason
from tests.contract.conftest import Job
from tests.contract.test_training_job import SCRIPT, reason, write_code

pytestmark = pytest.mark.engine

#: Every writer that users' scripts and our own program have, each on a disk of one MiB; what each says of it.
WRITERS = """
import json, os, pathlib, pickle, shutil, sqlite3, sys
import numpy as np, torch
from PIL import Image
full = pathlib.Path("/full")
model = torch.nn.Linear(1000, 1000)
noise = np.random.randint(0, 255, (1200, 1200, 3), dtype=np.uint8)

def torch_save(): torch.save(model.state_dict(), full / "m.pth")
def torch_save_legacy(): torch.save(model.state_dict(), full / "m.pth", _use_new_zipfile_serialization=False)
def torch_save_to_file():
    with open(full / "m.pth", "wb") as file: torch.save(model, file)
def safetensors():
    from safetensors.torch import save_file
    save_file(model.state_dict(), str(full / "m.safetensors"))
def openvino():
    import openvino
    converted = openvino.convert_model(model, example_input=torch.randn(1, 1000))
    openvino.save_model(converted, str(full / "m.xml"), compress_to_fp16=False)
def png(): Image.fromarray(noise).save(full / "a.png")
def jpeg(): Image.fromarray(noise).save(full / "a.jpg", quality=100)
def tiff(): Image.fromarray(noise).save(full / "a.tif", compression="tiff_lzw")
def npy(): np.save(full / "a.npy", np.zeros((1000, 1000)))
def npz(): np.savez(full / "a.npz", a=np.random.rand(1000, 1000))
def tofile(): np.zeros((1000, 1000)).tofile(full / "a.bin")
def text(): (full / "a.txt").write_text("x" * 3_000_000)
def pickled():
    with open(full / "a.pkl", "wb") as file: pickle.dump(np.random.rand(1000, 1000), file)
def csv():
    import pandas
    pandas.DataFrame(np.random.rand(1000, 300)).to_csv(full / "a.csv")
def copied():
    (pathlib.Path("/tmp/large")).write_bytes(b"x" * 3_000_000)
    shutil.copy("/tmp/large", full / "x")
def database():
    connection = sqlite3.connect(full / "a.db")
    connection.execute("create table t(x)")
    connection.execute("insert into t values(?)", (b"x" * 3_000_000,))
    connection.commit()

said = {}
for write in (torch_save, torch_save_legacy, torch_save_to_file, safetensors, openvino, png, jpeg, tiff, npy, npz,
              tofile, text, pickled, csv, copied, database):
    for path in full.iterdir(): path.unlink()
    try: write()
    except Exception as error: said[write.__name__] = f"{type(error).__name__}: {error}"
    else: said[write.__name__] = "nothing"
json.dump(said, open(os.environ["SM_OUTPUT_DATA_DIR"] + "/said.json", "w"))
"""


def test_every_writers_word_for_a_full_disk_is_understood(train: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=WRITERS)
    job = train(sagemaker_folder, {"code": code}, SCRIPT, tmpfs={"/full": "size=1m"})
    assert job.exit_code == 0, job.log
    said = json.loads((job.folder / "output" / "data" / "said.json").read_text())
    assert len(said) == 16
    small = Path("/proc")  # has no room at all
    not_understood = {name: text for name, text in said.items() if not resource_reason(text, [small])}
    assert not not_understood
    for text in said.values():
        assert resource_reason(text, [small]).startswith("the disk is full: /proc (")


def small_model(folder: Path, megabytes: int) -> dict[str, object]:
    """Options for a container whose /opt/ml/model has so many MiB."""
    return {
        "volumes": {str(folder / "model"): {"bind": "/unused", "mode": "rw"}},
        "tmpfs": {"/opt/ml/model": f"size={megabytes}m"},
    }


def test_a_script_that_fills_the_models_disk(train: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        train_py="""\
            import os, torch
            torch.save(torch.nn.Linear(2000, 2000).state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
            """,
    )
    job = train(sagemaker_folder, {"code": code}, SCRIPT, **small_model(sagemaker_folder, 5))
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0].startswith("the disk is full: /opt/ml/model (5.0 MiB) has no room left (written last: model.pth, ")
    assert "RuntimeError: [enforce fail at inline_container.cc" in lines[1]
    assert lines[2].startswith("in train.py, line 2: torch.save(")


def test_compiled_code_that_aborts_on_a_full_disk(train: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        train_py="""\
            import os, torch
            model = torch.jit.script(torch.nn.Linear(2000, 2000))
            torch.jit.save(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.pt"))
            """,
    )
    job = train(sagemaker_folder, {"code": code}, SCRIPT, **small_model(sagemaker_folder, 5))
    assert job.exit_code == 134
    lines = reason(job).splitlines()
    assert lines[0].startswith("the disk is full: /opt/ml/model (5.0 MiB) has no room left")
    assert "(c10::Error: [enforce fail at inline_container.cc" in lines[0]
    assert "frame #" not in reason(job)


def test_an_assertion_of_compiled_code_is_the_reasons_first_line(train: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        train_py="""\
            import ctypes, faulthandler
            faulthandler.enable()
            print("epoch 1", flush=True)
            ctypes.CDLL(None).__assert_fail(b"size > 0", b"kernel.cc", 12, b"run")
            """,
    )
    job = train(sagemaker_folder, {"code": code}, SCRIPT)
    assert job.exit_code == 134
    assert reason(job).splitlines()[0].startswith("training was aborted by compiled code: ")
    assert "kernel.cc:12: run: Assertion `size > 0' failed." in reason(job).splitlines()[0]
    assert "epoch 1" in reason(job)


@pytest.mark.parametrize("scripted", [True, False], ids=["script", "built-in"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("read-only", "/opt/ml/model is read-only; mount it writable"),
        ("file", "/opt/ml/model is a file; it must be a folder"),
        ("another's", "/opt/ml/model belongs to user 0 (mode 755) and this container runs as user 10001"),
    ],
)
def test_a_models_folder_that_can_not_be_written_is_told_at_once(
    train: Callable[..., Job], sagemaker_folder: Path, fault: str, words: str, scripted: bool
):
    code = write_code(sagemaker_folder, train_py="print('RAN')\n")
    mount = {str(sagemaker_folder / "model"): {"bind": "/opt/ml/model", "mode": "rw"}}
    options: dict[str, object] = {}
    if fault == "read-only":
        mount[str(sagemaker_folder / "model")]["mode"] = "ro"
    elif fault == "file":
        (sagemaker_folder / "a-file").touch()
        mount = {
            str(sagemaker_folder / "model"): {"bind": "/unused", "mode": "rw"},
            str(sagemaker_folder / "a-file"): {"bind": "/opt/ml/model", "mode": "rw"},
        }
    else:
        (sagemaker_folder / "output" / "data").mkdir(parents=True)
        for path in (sagemaker_folder, sagemaker_folder / "output", sagemaker_folder / "output" / "data"):
            path.chmod(0o777)
        options["user"] = "10001:10001"
    parameters = SCRIPT if scripted else {}
    job = train(sagemaker_folder, {"code" if scripted else "training": code}, parameters, volumes=mount, **options)
    assert job.exit_code == 1
    assert reason(job).startswith(f"the model can't be written: {words}")
    assert f"error: {reason(job)}" in job.log
    assert "Traceback" not in job.log
    assert "RAN" not in job.log
