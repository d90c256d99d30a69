import sys

from fastai_container.entrypoint import main

sys.exit(main())
