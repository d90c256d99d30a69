from __future__ import annotations

import ast
import dataclasses
import importlib.util
from pathlib import Path

import pytest

from fastai_container import model_folder, paths, sagemaker
from fastai_local import contract
from fastai_serving import environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("module", "program"),
    [(contract.ENTRY_POINT_MODULE, "__main__.py"), (contract.SAMPLE_DATA_MODULE, "sample_data.py")],
)
def test_a_module_that_is_started_by_name_is_there(module: str, program: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).with_name(program)
    assert source.is_relative_to(ROOT)
    assert program == "__main__.py" or 'if __name__ == "__main__":' in source.read_text(encoding="utf-8")


def test_the_entry_point_takes_these_commands() -> None:
    source = (ROOT / "container" / "fastai_sagemaker" / "entrypoint.py").read_text(encoding="utf-8")
    words = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    assert {contract.TRAIN, contract.SERVE} <= words


def test_the_tree_is_the_containers() -> None:
    tree = paths.MLPaths(Path(contract.ROOT))
    assert tree.config == tree.base / contract.CONFIG
    assert tree.data == tree.base / contract.INPUT_DATA
    assert tree.model == tree.base / contract.MODEL
    assert tree.output_data == tree.base / contract.OUTPUT / "data"
    assert tree.checkpoints == tree.base / contract.CHECKPOINTS
    assert tree.failure == tree.base / contract.FAILURE
    assert sagemaker.BASE_DIR_ENV == contract.BASE_DIR_VARIABLE


def test_the_root_and_the_port_are_the_containers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(contract.BASE_DIR_VARIABLE, raising=False)
    assert paths.MLPaths.from_environment().base == Path(contract.ROOT)
    assert environment.DEFAULT_PORT == contract.SERVING_PORT
    assert environment.Settings.from_environment({contract.PORT_VARIABLE: "9000"}).port == 9000


def test_the_manifest_is_the_model_folders() -> None:
    assert model_folder.MANIFEST == contract.MANIFEST
    assert contract.METRICS in {field.name for field in dataclasses.fields(model_folder.ModelManifest)}


def test_training_writes_the_list_of_held_out_pictures_and_the_error_rate() -> None:
    training = ROOT / "training" / "fastai_training"
    words = {
        node.value
        for file in training.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    assert {Path(contract.VALIDATION_LIST).name, contract.ERROR_RATE} <= words
