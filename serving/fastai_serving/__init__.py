"""Serving a model folder behind multi-model-server: supervisor, batch handler, runtime."""

import os
import sys

# What a script's requirements.txt asked for comes before the image's own packages, for all that a worker imports. The
# supervisor says where it is (fastai_serving.user_code.scripts).
if os.environ.get("FASTAI_SAGEMAKER_PACKAGES"):
    sys.path.insert(0, os.environ["FASTAI_SAGEMAKER_PACKAGES"])
