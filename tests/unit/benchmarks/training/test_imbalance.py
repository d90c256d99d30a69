from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training import imbalance
from tests.unit.benchmarks.training.facts import MACHINE


def pictures(folder: Path, **counts: int) -> list[Path]:
    found = [folder / f"{breed}_{number}.jpg" for breed, count in counts.items() for number in range(count)]
    for path in found:
        path.write_bytes(b"")
    return found


def of_breeds(folder: Path, few: int = 10) -> list[Path]:
    return pictures(folder, Bengal=100, Egyptian_Mau=few, Sphynx=12, great_pyrenees=10)


def test_one_breed_of_cats_has_many_pictures_and_what_is_held_out_is_even(tmp_path):
    drawn = imbalance.draw(of_breeds(tmp_path), 1)
    assert {breed: len(paths) for breed, paths in drawn.training.items()} == {
        "Bengal": 95,
        "Egyptian_Mau": 5,
        "Sphynx": 5,
    }
    assert {breed: len(paths) for breed, paths in drawn.held_out.items()} == dict.fromkeys(drawn.training, 5)
    for breed, paths in drawn.training.items():
        assert not set(paths) & set(drawn.held_out[breed])


def test_a_seed_draws_the_same_pictures_again_and_another_others(tmp_path):
    found = of_breeds(tmp_path)
    assert imbalance.draw(found, 1) == imbalance.draw(reversed(found), 1)
    assert imbalance.draw(found, 1) != imbalance.draw(found, 2)


def test_too_few_pictures_are_told_with_the_breed_and_the_number(tmp_path):
    with pytest.raises(ValueError, match=r"9 pictures of Egyptian_Mau, and 10 are needed: .*PETS_DIR"):
        imbalance.draw(of_breeds(tmp_path, few=9), 1)
    with pytest.raises(ValueError, match="0 pictures of Bengal, and 100 are needed"):
        imbalance.draw([], 1)


def test_one_breed_alone_is_told(tmp_path):
    with pytest.raises(ValueError, match="Bengal alone"):
        imbalance.draw(pictures(tmp_path, Bengal=100, beagle=10), 1)


def test_each_breed_is_copied_into_a_folder_of_its_name(tmp_path):
    drawn = imbalance.draw(of_breeds(tmp_path), 1)
    imbalance.write_folders(tmp_path / "valid", drawn.held_out)
    written = {path.relative_to(tmp_path / "valid").as_posix() for path in (tmp_path / "valid").rglob("*.jpg")}
    assert written == {f"{breed}/{path.name}" for breed, paths in drawn.held_out.items() for path in paths}


def test_the_common_and_the_rare_breeds_are_judged_apart():
    pairs = [("Bengal", "Bengal"), ("Bengal", "Sphynx"), ("Sphynx", "Bengal"), ("Sphynx", "Sphynx"), ("Mau", "Sphynx")]
    judged = imbalance.judge({"label": label, "predicted": predicted} for label, predicted in pairs)
    assert judged["common_right"] == pytest.approx(1 / 2)
    assert judged["rare_right"] == pytest.approx(1 / 3)
    assert judged["rare_taken_for_common"] == pytest.approx(1 / 3)


def measured(right: float) -> dict[str, float]:
    names = (*imbalance.COLUMNS, "seconds")
    return {name: right if name == "balanced_accuracy" else 1 - right for name in names if name != "gain"}


RUNS = [
    dict.fromkeys(imbalance.SETTINGS, measured(0.5)) | {"sampling=balanced": measured(0.75)},
    dict.fromkeys(imbalance.SETTINGS, measured(0.7)) | {"sampling=balanced": measured(0.65)},
]


def test_a_gain_is_over_the_same_seeds_run_without_a_correction():
    facts = imbalance.compare(RUNS)
    assert facts["sampling=balanced"]["gain"] == pytest.approx({"mean": 0.1, "min": -0.05, "max": 0.25})
    assert facts["none"]["balanced_accuracy"] == pytest.approx({"mean": 0.6, "min": 0.5, "max": 0.7})


def test_the_report_has_a_row_for_each_setting_with_mean_lowest_and_highest():
    facts = {"breeds": 12, "seeds": [1, 2], "settings": imbalance.compare(RUNS), "machine": MACHINE}
    told = imbalance.report(facts)
    assert "12 breeds of cats: 95 pictures of Bengal and 5 of each other one to train on, 5 of each, 60 in all" in told
    assert "seeds 1, 2" in told
    assert "| `none` | 60.0 (50.0 to 70.0) |  | 40.0 (30.0 to 50.0) |" in told
    assert "| `sampling=balanced` | 70.0 (65.0 to 75.0) | +10.0 (-5.0 to +25.0) | 30.0 (25.0 to 35.0) |" in told
    for setting in imbalance.SETTINGS:
        assert f"| `{setting}` |" in told
