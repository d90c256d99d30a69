import sys

from fastai_training.program import main

sys.exit(main())
