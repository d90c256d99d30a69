import sys

from fastai_training.trainer import main

sys.exit(main())
