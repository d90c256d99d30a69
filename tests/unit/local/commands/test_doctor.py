from __future__ import annotations

from fastai_local.commands import doctor
from fastai_local.settings import Settings
from tests.unit.local.fake_engine import engine


def test_the_doctor_on_the_base_image(monkeypatch) -> None:
    assert doctor.base_check(Settings(), engine(present={"debian:bookworm-slim"})).state == doctor.OK
    assert doctor.base_check(Settings(), engine(pullable={"debian:bookworm-slim"})).state == doctor.OK
    monkeypatch.setattr(doctor, "missing_for_base", lambda: None)
    assert doctor.base_check(Settings(), engine()).state == doctor.OK
    monkeypatch.setattr(doctor, "missing_for_base", lambda: "debootstrap is not installed")
    assert doctor.base_check(Settings(), engine()).state == doctor.MISSING
    assert "BASE_IMAGE=" in doctor.base_check(Settings(device="gpu"), engine()).get


def test_a_remedy_stands_below_what_is_not_ok() -> None:
    checks = [doctor.Check("a", doctor.OK, "here", "get a"), doctor.Check("long", doctor.MISSING, "gone", "get b")]
    assert doctor.table(checks).splitlines() == [
        "a     ok        here",
        "long  MISSING   gone",
        "                -> get b",
    ]
    assert not doctor.is_complete(checks)
    assert doctor.is_complete(checks[:1])


def test_a_disk_is_measured_where_the_folder_will_be(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "free_gb", lambda folder: (5.0, tmp_path))
    assert doctor.disk_check("disk", tmp_path / "build", 5).state == doctor.OK
    assert doctor.disk_check("disk", tmp_path / "build", 6).state == doctor.MISSING
