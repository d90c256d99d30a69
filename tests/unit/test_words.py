"""Words that were given up are found nowhere: each thing has one name, that of docs/glossary.md."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: The history of the names, and this list of them.
EXEMPT = ("CHANGELOG.md", "tests/unit/test_words.py")
TEXT = frozenset({"", ".py", ".java", ".sh", ".md", ".toml", ".xml", ".json", ".yaml", ".yml", ".in", ".txt", ".ipynb"})
#: Modules of commit 0cb4e1c that lie in folders now, or have another name.
MOVED_TRAINING = (
    "labels|loaders|cache|tree|split|pictures_check|room|failure|hints|tracebacks|volumes|export|precision|servable|"
    "callbacks|checkpoints|distributed|replay|learning|allocator|models|weights|resume|stopping|supervisor|peers|"
    "cluster|installation|intermediate|launch|output|memory|process_tree|masking|stray_models|weights_folder|script|"
    "charts|evaluation|report|program|processes"
)
MOVED_SERVING = (
    "settings|answers|decoy|server|code_archive|decoders|hints|hooks|packages|script_model|script_answers|scripts|"
    "torch_models|runtime|builtin|handler|explain|memory|mistaken|request|service|threads|lettering|wire"
)


def modules(package: str, names: str) -> str:
    """What finds these modules of ``package``: dotted, as a path, and imported from it."""
    return rf"\b{package}(?:[./]|\s+import\s+(?:\w+,\s*)*)(?:{names})\b(?!/)"


@dataclass(frozen=True)
class Retired:
    """A word that was given up, and what it is ``instead``; looked for below ``where``, but not below ``without``."""

    pattern: str
    instead: str
    where: str = ""
    without: tuple[str, ...] = ()


RETIRED = (
    Retired(
        r"\b(?:TORCH_|_)?PROGRAM_(?:WEIGHTS|FACTS)\b|\bTORCH_PROGRAM\b|\bwrite_(?:torch_)?program\b", "COMPILED_MODEL …"
    ),
    Retired(
        r"(?i)\b(?:CPU|built-in|TorchScript|OpenVINO|ONNX) programs?\b",
        "compiled model; trainer",
        without=("benchmarks/results/", "tests/fixtures/"),
    ),
    Retired(r"FrontDoor", "FrontendHandler"),
    Retired(r"RequestGate", "RequestLimiter"),
    Retired(r"AnswerMemory", "ResponseMemory"),
    Retired(r"ServedModel\b", "BatchingModel", "serving/fastai_serving/mms_plugin/"),
    Retired(r"\bsettle\.sh", "normalize-mtimes.sh"),
    Retired(r"fastai_contents", "fastai_image_contents"),
    Retired(r"\bCONTRACT\b[,:\"” ]", "the source that a reader can open", without=("docker/licenses/",)),
    Retired(r"\bthe seed(?:'s|’s)\b|\bseed repository\b", "the script, notebook or document by its name"),
    Retired(r"\btraining/pets\.py", "examples/pets.py"),
    Retired(r"(?i)\bverbs?\b", "command, target", "docker/"),
    Retired(r"(?i)\bverbs?\b", "command, target", "Makefile"),
    Retired(r"benchmarks/peers", "benchmarks/baselines"),
    Retired(r"\bpeers?\b", "baseline", "benchmarks/"),
    Retired(
        r"(?i)\b(?:both|two|three|four|their|these|our) rooms\b"
        r"|\b(?:each|every|which|another|this) room\b|\broom in \(",
        "folder, package",
    ),
    Retired(r"\bserving/mms-plugin\b", "serving/fastai_serving/mms_plugin"),
    Retired(r"\bfastai_container[./](?:entrypoint|__main__)\b|-m\s+fastai_container\b", "fastai_sagemaker"),
    Retired(
        modules("fastai_training", MOVED_TRAINING) + r"|\bfastai_training/job\.py",
        "the module in its folder: docs/architecture.md",
        # It writes what was written by then, the name of a class among it.
        without=("tests/fixtures/old_formats.py",),
    ),
    Retired(
        modules("fastai_serving", MOVED_SERVING) + r"|\bfastai_serving/supervisor\.py",
        "the module in its folder: docs/architecture.md",
    ),
)


def tracked() -> list[str]:
    """The names of the files that are the project's, text alone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"not a checkout of git: {listed.stderr.strip()}")
    names = [
        name for name in listed.stdout.split("\0") if name and Path(name).suffix in TEXT and (ROOT / name).is_file()
    ]
    return [name for name in names if name not in EXEMPT]


def found(retired: Retired, names: list[str]) -> Iterator[str]:
    pattern = re.compile(retired.pattern)
    for name in names:
        if not name.startswith(retired.where) or (retired.without and name.startswith(retired.without)):
            continue
        if pattern.search(name):
            yield f"{name}: its name"
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
            if match := pattern.search(line):
                yield f"{name}:{number}: {match[0]}"


@pytest.mark.parametrize("retired", RETIRED, ids=lambda retired: retired.instead)
def test_a_retired_word_is_found_nowhere(retired):
    names = tracked()
    assert len(names) > 200
    places = list(found(retired, names))
    assert not places, f"{len(places)} times, instead of: {retired.instead}: {places}"


@pytest.mark.parametrize(
    "text",
    [
        "new FrontDoor(channel)",
        "(CONTRACT, section 1)",
        "as in the seed's notebook",
        "for room in (folders)",
        "between both rooms",
        "from fastai_training.labels import Example",
        "from fastai_training import labels",
        "from fastai_training import hyperparameters, learning",
        "training/fastai_training/job.py",
        'patch("fastai_serving.service.Service")',
        "python -m fastai_container",
    ],
)
def test_it_would_be_found(tmp_path, monkeypatch, text):
    monkeypatch.setattr("tests.unit.test_words.ROOT", tmp_path)
    (tmp_path / "x.md").write_text(text)
    assert [place for retired in RETIRED for place in found(retired, ["x.md"])]


@pytest.mark.parametrize(
    "text",
    [
        "there is no room left on this disk",
        "`seed` of the split",
        "fastai_training.data.labels and fastai_training.job.main",
        "from fastai_serving.worker.service import Service",
        "fastai_serving.supervisor.main",
        "training/fastai_training/reporting/report.py",
        "LIABILITY, WHETHER IN AN ACTION OF CONTRACTORS",
    ],
)
def test_other_things_are_not(tmp_path, monkeypatch, text):
    monkeypatch.setattr("tests.unit.test_words.ROOT", tmp_path)
    (tmp_path / "x.md").write_text(text)
    assert [place for retired in RETIRED for place in found(retired, ["x.md"])] == []
