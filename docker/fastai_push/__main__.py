# Kept to syntax that any Python 3 reads, so that an old one gets a sentence and not a SyntaxError.
import sys

if sys.version_info < (3, 10):  # noqa: UP036 - nothing has checked it before us
    sys.stderr.write(
        "error: Python 3.10 or newer is needed, this is %s (%s): name another, as in PYTHON=python3.11\n"  # noqa: UP031
        % (sys.version.split()[0], sys.executable)
    )
    sys.exit(1)

from fastai_push.cli import main

sys.exit(main(sys.argv[1:]))
