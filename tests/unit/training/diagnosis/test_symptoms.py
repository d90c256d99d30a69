from __future__ import annotations

import re

import pytest

from fastai_training.diagnosis import symptoms


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer", True),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", True),
        ("torch.distributed.DistNetworkError: The client socket has timed out", True),
        ("ValueError: no label", False),
    ],
)
def test_a_lost_peer_is_told_from_an_error_here(text: str, lost: bool):
    assert symptoms.is_lost_peer(text) is lost


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.search(text) is not None


@pytest.mark.parametrize(
    ("text", "full", "cut"),
    [
        ("OSError: [Errno 28] No space left on device", True, False),
        ("Error while serializing: I/O error: No space left on device (os error 28)", True, False),
        ("[enforce fail at inline_container.cc:664] . unexpected pos 3944896 vs 3944792", False, True),
        ("basic_ios::clear: iostream error", False, True),
        ("the labels are wrong", False, False),
    ],
)
def test_what_is_known_of_any_text_is_known_while_writing(text: str, full: bool, cut: bool):
    assert _matches(symptoms.DISK_FULL, text) is _matches(symptoms.DISK_FULL_WHILE_WRITING, text) is full
    assert _matches(symptoms.WRITE_CUT, text) is _matches(symptoms.WRITE_CUT_WHILE_WRITING, text) is cut
