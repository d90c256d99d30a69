from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_training import failure, tracebacks

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


@given(st.lists(st.text(max_size=700), max_size=4), st.lists(st.text(max_size=300), max_size=40))
def test_a_reason_fits_what_is_shown(headline: list[str], lines: list[str]):
    assert len(failure.compose(headline, lines)) <= 1024


def test_the_last_lines_are_kept():
    text = failure.compose(["ValueError: x"], [f"line {number}" for number in range(500)])
    assert text.startswith("ValueError: x\nLast output:\n")
    assert text.endswith("line 498\nline 499")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("OSError: [Errno 28] No space left on device: '/opt/ml/model/x'", "the disk is full"),
        ("RuntimeError: unable to write to file </torch_13_1>: No space left on device (28) /dev/shm", "shared memory"),
        (
            "RuntimeError: DataLoader worker is killed by signal: Bus error. insufficient shared memory (shm)",
            "shared memory",
        ),
        (
            "RuntimeError: unable to allocate shared memory(shm) for </torch_1>: No space left on device (28)",
            "shared memory",
        ),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate", "out of GPU memory"),
        ("MemoryError", "out of memory"),
        ("ValueError: bad label", ""),
    ],
)
def test_resources_are_told_apart(text: str, start: str):
    reason = failure.resource_reason(text, [Path("/")])
    assert reason.startswith(start)
    assert bool(reason) == bool(start)


def test_signals_are_told_apart():
    assert failure.signal_reason(signal.SIGKILL, True).startswith("out of memory")
    assert "from outside" in failure.signal_reason(signal.SIGKILL, False)
    assert "most likely" in failure.signal_reason(signal.SIGKILL, None)
    assert "/dev/shm" in failure.signal_reason(signal.SIGBUS, False)
    assert "SIGSEGV" in failure.signal_reason(signal.SIGSEGV, False)
    assert "SIGABRT" in failure.signal_reason(signal.SIGABRT, False)
