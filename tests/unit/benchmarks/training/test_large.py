from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training import large
from fastai_container.pictures import check_picture
from tests.conftest import ROOT
from tests.unit.benchmarks.training.facts import MACHINE


def test_pictures_are_readable_no_two_the_same_and_as_many_in_each_class(tmp_path):
    large.generate(tmp_path / "pictures", 10, classes=5)
    paths = sorted((tmp_path / "pictures").rglob("*.jpg"))
    assert [path.parent.name for path in paths] == [f"class_{number:03d}" for number in range(5) for _ in range(2)]
    assert len({path.read_bytes() for path in paths}) == 10
    for path in paths:
        check_picture(path, 32)
    assert large.warm(tmp_path) == 10


def test_finding_is_measured_with_what_was_found_and_which_code_did_it(tmp_path):
    large.generate(tmp_path, 10, classes=5)
    found = large.measure_find(tmp_path)
    assert (found["pictures"], found["classes"]) == (10, 5)
    assert Path(found["code"]).is_relative_to(ROOT)
    assert 0 < found["kib_before"] <= found["kib"]


def run(find: float, first: float, kib: int):
    """What both measurements print; a check of 1,000 pictures a second."""
    parts = dict.fromkeys(large.PARTS, 0.0) | {"imports": 40.0, "find": find, "batch": first}
    return {
        "find": {"seconds": find, "processor_seconds": find / 2, "kib_before": 1000, "kib": kib},
        "batch": {"seconds": parts, "checked": 500, "check_seconds": 0.5, "to_check": 200_000, "kib": 2 * kib},
    }


ROUNDS = [
    {"ours": run(10, 2, 5000), "baseline": run(20, 2, 4000)},
    {"ours": run(14, 4, 5000), "baseline": run(56, 2, 4000)},
]
DESCRIBED = {
    "revisions": {"ours": "aaa1111", "baseline": "bbb2222"},
    "pictures": 200_000,
    "classes": 100,
    "checked": 500,
    "check_processes": 2,
    "load": [6.5, 7.25],
    "rounds": 2,
    "machine": MACHINE,
}


def test_rounds_are_compared_one_by_one():
    facts = large.compare(ROUNDS)
    assert facts["ours"]["find seconds"] == {"median": 12, "min": 10, "max": 14}
    assert facts["ours"]["find seconds ratio"] == pytest.approx({"median": 0.375, "min": 0.25, "max": 0.5})
    assert "find seconds ratio" not in facts["baseline"]


def test_the_sum_is_without_the_imports_and_the_check_is_an_estimate_by_its_rate():
    facts = large.compare(ROUNDS)["ours"]
    assert facts["batch measured"] == {"median": 15, "min": 12, "max": 18}
    assert facts["check estimate"]["median"] == pytest.approx(200)
    assert facts["batch estimate"]["median"] == pytest.approx(215)


def test_the_report_has_a_column_for_each_revision_and_labels_estimates_as_such():
    told = large.report(DESCRIBED | {"measured": large.compare(ROUNDS)})
    assert "|  | aaa1111 | bbb2222 (baseline) | ratio |" in told
    assert "| seconds by the clock | 12.0 (10.0–14.0) | 38.0 (20.0–56.0) | 0.38 (0.25–0.50) |" in told
    assert "| highest memory, KiB | 5,000 (5,000–5,000) | 4,000 (4,000–4,000) | 1.25 (1.25–1.25) |" in told
    assert "| ESTIMATE, not measured: check of these, seconds | 200 (200–200) |" in told
    assert "measured on 500 pictures; the estimates are this rate times those that are checked before" in told
    assert "before the rounds was 6.5, 7.2:" in told


def test_the_report_says_whether_the_pictures_were_made_or_given():
    measured = {"measured": large.compare(ROUNDS)}
    made, given = (large.report(DESCRIBED | measured | {"given": given}) for given in (False, True))
    assert "200,000 JPEGs of 40×32 pixels in a folder for each class, 100 classes, on a local disk" in made
    assert "200,000 pictures that were given, 100 classes, on a local disk" in given
    assert "40×32" not in given


def test_the_report_without_a_baseline_has_neither_its_column_nor_ratios():
    told = large.report(DESCRIBED | {"measured": large.compare([{"ours": one["ours"]} for one in ROUNDS])})
    assert "|  | aaa1111 |\n" in told
    assert "bbb2222" not in told


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--pictures", "199"], "200 or more, two for each of the classes"),
        (["--folder", "gone"], "--folder gone is no folder"),
        (["--baseline", "gone"], "--baseline gone is no checkout: it has no training/fastai_training"),
        (["--folder", ".", "--pictures", "500"], "not allowed with"),
        (["--bsaeline", "."], "unrecognized arguments: --bsaeline"),
    ],
)
def test_what_cant_be_measured_is_refused_with_the_reason(capsys, monkeypatch, tmp_path, arguments, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        large.parse(arguments)
    assert reason in capsys.readouterr().err


def test_a_checkout_is_one_of_the_choices():
    assert large.parse(["--baseline", str(ROOT)]).baseline == ROOT
    assert large.revision(ROOT)


def test_code_from_elsewhere_is_not_taken_for_the_checkouts(monkeypatch, tmp_path):
    log = [(0.0, '{"code": "/somewhere/else.py"}')]
    monkeypatch.setattr(large, "run", lambda *_: large_run(log))
    with pytest.raises(RuntimeError, match=r"was to be measured, and /somewhere/else\.py was"):
        large.measured("find", tmp_path, ROOT)


def large_run(log):
    from benchmarks.training.programs import Run

    return Run(1.0, 1.0, log)
