from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_training.diagnosis import failure_reason as failure
from fastai_training.diagnosis import tracebacks

CODE = Path("/opt/ml/code")
CHAINED = """\
epoch 1
Traceback (most recent call last):
  File "/opt/ml/code/data.py", line 8, in read
    return table[name]
           ~~~~~^^^^^^
KeyError: 'label'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/ml/code/train.py", line 20, in <module>
    main()
  File "/opt/ml/code/lib/steps.py", line 3, in main
    read("label")
  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode
    raise JSONDecodeError("Expecting value", s, err.value) from None
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
""".splitlines()
TORCHRUN = """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "/opt/ml/code/train.py", line 17, in <module>
[rank1]:     raise ValueError("no label")
[rank1]: ValueError: no label
E1122 19:00:50.507000 8 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 900, in main
    run(args)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_19:00:50
  rank      : 1 (local_rank: 0)
  exitcode  : 7 (pid: 14)
""".splitlines()


def test_the_last_exception_and_the_users_own_line():
    fault, before = tracebacks.find_fault(CHAINED, CODE)
    assert fault == tracebacks.Fault(
        "JSONDecodeError: Expecting value: line 1 column 1 (char 0)", 'lib/steps.py, line 3, in main: read("label")'
    )
    assert before == ["epoch 1"]


def test_what_torchrun_says_hides_no_workers_exception():
    fault, _ = tracebacks.find_fault(TORCHRUN, CODE)
    assert fault == tracebacks.Fault("ValueError: no label", 'train.py, line 17: raise ValueError("no label")')
    assert tracebacks.worker_exit_code(TORCHRUN) == 7


def test_a_loader_workers_exception_is_the_one_that_counts():
    lines = [
        "epoch 1",
        "Traceback (most recent call last):",
        '  File "/opt/ml/code/train.py", line 9, in <module>',
        "    for batch in loader:",
        "KeyError: Caught KeyError in DataLoader worker process 0.",
        "Original Traceback (most recent call last):",
        '  File "/opt/venv/lib/python3.11/site-packages/torch/utils/data/_utils/fetch.py", line 54, in fetch',
        "    data = [self.dataset[idx] for idx in possibly_batched_index]",
        "KeyError: 'picture 0 has no label'",
        "",
    ]
    fault, before = tracebacks.find_fault(lines, CODE)
    assert fault == tracebacks.Fault("KeyError: 'picture 0 has no label'", "train.py, line 9: for batch in loader:")
    assert before == ["epoch 1"]


def test_a_syntax_error_has_no_traceback_line():
    lines = ['  File "/opt/ml/code/train.py", line 2', "    for x in y", "              ^", "SyntaxError: expected ':'"]
    fault, _ = tracebacks.find_fault(lines, CODE)
    assert fault == tracebacks.Fault("SyntaxError: expected ':'", "train.py, line 2: for x in y")


@pytest.mark.parametrize("lines", [[], ["all is well"], ["Traceback (most recent call last):"], ['  File "x", line 1']])
def test_no_exception(lines: list[str]):
    assert tracebacks.find_fault(lines, CODE) == (None, lines)


@given(st.lists(st.sampled_from([*CHAINED, *TORCHRUN, "", "  x", "KeyError"]), max_size=30))
def test_any_mixture_of_lines_is_read(lines: list[str]):
    fault, before = tracebacks.find_fault(lines, CODE)
    assert len(before) <= len(lines)
    assert fault is None or fault.exception


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("train.py: error: argument --epochs: invalid", "argument --epochs: invalid"),
        ("ERROR: No matching distribution found for x", "No matching distribution found for x"),
        ("error rate: 0.3", ""),
    ],
)
def test_error_lines(line: str, text: str):
    assert tracebacks.error_line(["before", line, ""]) == text


ABORT = """\
loading
terminate called after throwing an instance of 'c10::Error'
  what():  [enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0
frame #0: c10::ThrowEnforceNotMet(char const*, int) + 0x6a (0x7fe21fe2278a in libc10.so)
frame #1: <unknown function> + 0x4de47a0 (0x7fe224c8b7a0 in libtorch_cpu.so)
""".splitlines()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (ABORT, "c10::Error: [enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        (["terminate called after throwing an instance of 'int'"], "int"),
        (["x: a.cc:12: f: Assertion `n > 0' failed."], "x: a.cc:12: f: Assertion `n > 0' failed."),
        (["double free or corruption (!prev)"], "double free or corruption (!prev)"),
        (["*** buffer overflow detected ***: terminated"], "*** buffer overflow detected ***: terminated"),
        (
            ["malloc(): corrupted top size", "Fatal Python error: Aborted", "", "Current thread 0x1:"],
            "malloc(): corrupted top size",
        ),
        (["all is well"], ""),
    ],
)
def test_what_compiled_code_says_when_it_aborts(lines: list[str], said: str):
    assert tracebacks.abort_message(lines) == said
    reason = failure.signal_reason(signal.SIGABRT, False, said)
    assert reason == (f"training was aborted by compiled code: {said}" if said else "training was ended by SIGABRT")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([*TORCHRUN[:4], "terminate called without an active exception"], True),
        (["terminate called without an active exception", *TORCHRUN[:4]], False),
        ([*TORCHRUN[:4], "free(): invalid pointer"], False),
        (["terminate called without an active exception"], False),
    ],
)
def test_an_abort_after_an_exception_is_no_reason_of_its_own(lines: list[str], expected: bool):
    assert tracebacks.is_aborted_ending(lines) is expected


def test_frames_of_compiled_code_are_left_out():
    text = failure.compose(["x"], [*ABORT, "#1 0x00007f in main ()", "frame 3 of 7 decoded", "#1 in the list"])
    assert text.splitlines()[-3:] == [ABORT[2], "frame 3 of 7 decoded", "#1 in the list"]
