from __future__ import annotations

import io
import subprocess
import sys

from fastai_serving.bounded_output import BoundedStream


def test_long_lines_are_cut_and_counted():
    kept = io.StringIO()
    stream = BoundedStream(kept, 10)
    for text in ("short\n", "0123456789", "abc", "def\nnext", " line\n", "x" * 1_000_000, "\n\n", "tail"):
        assert stream.write(text) == len(text)
    print("printed", "here too", file=stream)
    assert kept.getvalue().splitlines() == [
        "short", "0123456789 ... (6 characters left out)", "next line", "xxxxxxxxxx ... (999,990 characters left out)",
        "", "tailprinte ... (10 characters left out)",
    ]  # fmt: skip
    assert stream.getvalue() == kept.getvalue(), "all else is the stream's own"


def test_the_workers_streams_are_bounded():
    script = (
        "from fastai_serving import logs\nimport logging, sys\nlogs.configure_worker('INFO')\n"
        "print('a' * 5_000_000)\nlogging.error('b' * 5_000_000)\nsys.stdout.flush()\nprint('end', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert len(done.stdout) < 40_000
    assert len(done.stderr) < 40_000
    assert done.stdout.endswith("end\n")
