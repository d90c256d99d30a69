from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fastai_container import old_fastai


def pickled(path: Path, *modules: str, protocol: int = 2, legacy: bool = False) -> Path:
    """What names a class of each of the modules, as torch.save writes it; none of them exists."""
    names = b"".join(
        f"c{module}\nThing\n0".encode() if protocol < 4
        else b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c\x05Thing\x93" + b"0"
        for module in modules
    )  # fmt: skip
    data = b"\x80" + bytes([protocol]) + names + b"N."
    if legacy:
        path.write_bytes(b"\x80\x02N." * 3 + data)
    else:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("export/data.pkl", data)
    return path


@pytest.mark.parametrize("options", [{}, {"protocol": 4}, {"legacy": True}])
def test_the_modules_of_a_learner_are_read_without_opening_it(tmp_path: Path, options: dict):
    path = pickled(tmp_path / "export.pkl", "fastai.basic_data", "fastcore.transform", **options)
    assert old_fastai.modules_of(path) == {"fastai.basic_data", "fastcore.transform"}


def test_what_is_no_learner_has_no_modules(tmp_path: Path):
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    assert old_fastai.modules_of(tmp_path / "junk") == set()
    assert old_fastai.modules_of(tmp_path / "gone") == set()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("no", name="fastai.basic_train"), "written for fastai 1"),
        (ModuleNotFoundError("no", name="fastai.callbacks.hooks"), "written for fastai 1"),
        (ModuleNotFoundError("no", name="fastai2.vision"), "import fastai instead"),
        (ModuleNotFoundError("No module named 'fastcore.transform'", name="fastcore.transform"), "fastai 2.7"),
        (RuntimeError("attempted to import from `fastcore.dispatch`"), "fastai 2.7"),
    ],
)
def test_errors_of_older_scripts(error: Exception, words: str):
    assert words in (old_fastai.sentence(error) or "")
    assert "\n" not in (old_fastai.sentence(error) or "")


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("no", name="fastai.vision.all"),
        ModuleNotFoundError("no", name="fastai.corelib"),
        ModuleNotFoundError("no"),
        RuntimeError("shape"),
        UnboundLocalError("res"),
    ],
)
def test_other_errors_are_none_of_its_business(error: Exception):
    assert old_fastai.sentence(error) is None


@pytest.mark.parametrize(
    ("modules", "words"),
    [(["fastai.basic_train"], "exported by fastai 1"), (["fastcore.dispatch"], "exported by fastai 2.7")],
)
def test_fastais_own_load_learner(tmp_path: Path, modules: list[str], words: str):
    fastai = pytest.importorskip("fastai.learner")
    path = pickled(tmp_path / "export.pkl", *modules, legacy=True)
    legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    path.write_bytes(legacy + path.read_bytes()[len(b"\x80\x02N.") * 3 :])
    with pytest.raises(Exception) as caught:  # noqa: PT011 - fastai's choice
        fastai.load_learner(path)
    assert words in (old_fastai.sentence(caught.value) or "")
