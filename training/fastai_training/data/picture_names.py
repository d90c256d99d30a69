"""What a picture's file name says of its class, and what cameras, phones and programs call every picture."""

from __future__ import annotations

import re

#: A day, with or without the time: 2023-01-31, 20230131_235959123, 2023-01-31 at 23.59.59.
_DAY = (
    r"(?:19|20)\d\d[-_.]?(?:0\d|1[0-2])[-_.]?(?:[0-2]\d|3[01])"
    r"(?:(?:[\s_.-]+(?:at[\s_.-]+)?|T)\d\d[-_.:]?\d\d(?:[-_.:]?\d\d\d*)?)?(?!\d)"
)
#: Everything before the last number and what parts it: shiba_inu_12, cat.0, dog (3), tea-7. Days are no part of it.
_LABEL = re.compile(rf"^(?:{_DAY}[\s_.-]+)?(?P<label>.*?[^\s_.-])(?:[\s_.-]+{_DAY})?(?:[\s_.-]+\d+|[\s_.-]*\(\d+\))?$")
_NUMBERED = re.compile(rf"(?:[\s_.-]+(?:\d+|{_DAY})|[\s_.-]*\(\d+\))$")
#: A number follows these, or a day.
_CAMERA = re.compile(
    r"^\W*(?:(?:img|imgp|image|dsc[fn]?|dscf|pict?|picture|photo|foto|frame|scan|screen[\s_-]?shot|pxl|mvimg|gopr|dji|"
    r"cimg|sam|whatsapp[\s_-]image|signal|capture|snapshot|file|untitled|vid|p|export|download|thumb)"
    r"[\s_.-]*)*(?:\d[\d\s_.:-]*)?$",
    re.IGNORECASE,
)


def label_of(stem: str) -> str:
    """Return the label that a file's name (without suffix) has; "" for none."""
    match = _LABEL.match(stem) if _NUMBERED.search(stem) else None
    return match["label"] if match else ""


def is_a_cameras(label: str) -> bool:
    """Return whether cameras, phones and programs call a picture so."""
    return bool(_CAMERA.match(label))
