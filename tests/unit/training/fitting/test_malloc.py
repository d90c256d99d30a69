from __future__ import annotations

import subprocess
import sys

import pytest

#: Page faults of blocks as large as a layer's activations, filled and freed, again and again.
FAULTS = """
import ctypes, resource, sys
from fastai_training.fitting.malloc import give_back, keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(7)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def fill():
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(100_000_000)))
    ctypes.memset(block, 1, 100_000_000)
    libc.free(block)
fill()
def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = count()
for _ in range(3):
    fill()
kept = count() - before
give_back()
before = count()
fill()
print(kept, count() - before)
"""


def faults(mode: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, env={"PYTHONPATH": "training"}
    )
    if done.returncode == 7:
        pytest.skip("another C library than glibc")
    assert done.returncode == 0, done.stderr
    kept, after = done.stdout.split()
    return int(kept), int(after)


def test_freed_blocks_are_used_again_until_given_back():
    usual, _ = faults("usual")
    kept, after = faults("keep")
    # Where the kernel gives huge pages to all, there are few faults either way.
    assert kept < usual / 10
    assert after > kept
