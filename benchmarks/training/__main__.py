"""``python -m benchmarks.training``; DEVICE=gpu and QUICK=1 as the Makefile's other targets have them."""

import os
import sys

from benchmarks.training import breakdown, job, rates

sys.exit(rates.main() if os.environ.get("DEVICE") == "gpu" else job.main() or breakdown.main())
