"""Serve a model folder behind multi-model-server.

``supervisor`` (PID 1) and ``worker`` (the processes that hold the model) know nothing of each other; both import
``user_code``, and all three the modules that lie here, which import none of them.
"""

import os
import sys

# What a script's requirements.txt asked for comes before the image's own packages, for all that a worker imports. The
# supervisor says where it is (fastai_serving.user_code.scripts).
if os.environ.get("FASTAI_SAGEMAKER_PACKAGES"):
    sys.path.insert(0, os.environ["FASTAI_SAGEMAKER_PACKAGES"])
