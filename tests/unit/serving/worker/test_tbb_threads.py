from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: oneTBB's own count of the threads that it may use (its max_concurrency), before the limit, under it and after it.
COUNTS = """
import ctypes, openvino
from pathlib import Path
from fastai_serving.worker.tbb_threads import SingleThreadLimit
library = ctypes.CDLL(str(Path(openvino.__file__).with_name("libs") / "libtbb.so.12"))
value = library["_ZN3tbb6detail2r127global_control_active_valueEi"]
value.restype = ctypes.c_size_t
before = value(0)
limit = SingleThreadLimit()
under = value(0)
limit.release()
print(before == value(0), under)
"""


def test_the_limit_is_one_thread_until_it_is_released():
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("True 1\n", 0), done.stderr


def test_another_onetbb_is_refused(monkeypatch, tmp_path: Path):
    openvino = pytest.importorskip("openvino")
    from fastai_serving.worker.tbb_threads import SingleThreadLimit

    monkeypatch.setattr(openvino, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(OSError, match=r"libtbb\.so\.12 is missing"):
        SingleThreadLimit()
