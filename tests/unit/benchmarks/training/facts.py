"""What a report says of the machine, for the tests of the reports."""

from __future__ import annotations

MACHINE = {
    "date": "2026-01-01T10:00",
    "revision": "x",
    "cpu": "c",
    "cores": 2,
    "instructions": [],
    "memory_gib": 4,
    "system": "s",
    "python": "3",
    "versions": {},
}
