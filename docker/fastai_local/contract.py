"""What this package and the images rely on each other for: modules run by name, and paths in jobs and model folders."""

from __future__ import annotations

# Modules that are started by name, since this package can import nothing of the images.
ENTRY_POINT_MODULE = "fastai_sagemaker"
SAMPLE_DATA_MODULE = "fastai_training.sample_data"
TRAIN, SERVE = "train", "serve"  # the entry point's arguments

# SageMaker's tree, and the variables that put it elsewhere for plain processes.
ROOT = "/opt/ml"
BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
CONFIG = "input/config"
INPUT_DATA = "input/data"
MODEL = "model"
OUTPUT = "output"
CHECKPOINTS = "checkpoints"
FAILURE = "output/failure"
VALIDATION_LIST = "output/data/validation.csv"
SERVING_PORT = 8080

# The model folder.
MANIFEST = "model.json"
METRICS, ERROR_RATE = "metrics", "error_rate"
