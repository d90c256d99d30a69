"""Sees to signals first of all, then starts what the command line names.

As PID 1 a process loses every signal that it has no handler for. The images' entry point therefore starts Python with
these signals blocked, so that one that comes before this point waits for it.
"""

import os
import signal
import sys
from types import FrameType

EARLY = (signal.SIGTERM, signal.SIGINT)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Nothing has begun yet: an endpoint that is stopped has done its work, a job has not."""
    os._exit(0 if sys.argv[1:2] == ["serve"] else 128 + number)


if __name__ == "__main__":
    for _number in EARLY:
        signal.signal(_number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EARLY)  # before any thread or process takes the mask over

    from fastai_sagemaker.entrypoint import main

    sys.exit(main())
