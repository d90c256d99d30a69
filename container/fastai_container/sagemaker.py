"""SageMaker's side of the contract: paths, names, limits and stop times, each with the page that it is taken from.

What this project derives from them (how long it drains, say) stands beside its reason, where it is used.
"""

from __future__ import annotations

# Folders and files of a training job.
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
BASE_DIR = "/opt/ml"
CONFIG, INPUT_DATA = "input/config", "input/data"
HYPERPARAMETERS_FILE = "hyperparameters.json"
RESOURCES_FILE = "resourceconfig.json"
INPUT_CHANNELS_FILE = "inputdataconfig.json"
#: The job's name, as environment variables; the last one is sagemaker-training's.
JOB_NAME_ENVS = ("TRAINING_JOB_ARN", "TRAINING_JOB_NAME", "SM_TRAINING_JOB_NAME")

# Where a job leaves its results, and why it failed.
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
MODEL, OUTPUT_DATA, FAILURE = "model", "output/data", "output/failure"
#: SageMaker truncates FailureReason to this many characters.
FAILURE_REASON_LENGTH = 1024

# https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html
CHECKPOINTS = "checkpoints"

#: Seconds from SIGTERM to SIGKILL when a training job is stopped.
#: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html
TRAINING_STOP_SECONDS = 120

# An endpoint's container.
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
#: Seconds from SIGTERM to SIGKILL when an instance or endpoint goes away.
SERVING_STOP_SECONDS = 30
#: The port of /ping and /invocations.
SERVING_PORT = 8080
#: A request must be answered within as many seconds.
INVOCATION_SECONDS = 60

#: MaxPayloadInMB of a batch transform job, when it sets none.
#: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
DEFAULT_MAX_PAYLOAD_MB = 6

# Names of sagemaker-training, the toolkit of SageMaker's own training images: script mode.
# https://github.com/aws/sagemaker-training-toolkit
CODE = "code"
#: Another folder in place of /opt/ml.
BASE_DIR_ENV = "SAGEMAKER_BASE_DIR"
#: The hyperparameters (in capitals: environment variables) that name the user's script and where its code is.
PROGRAM, SUBMIT_DIRECTORY = "sagemaker_program", "sagemaker_submit_directory"
LOG_LEVEL = "sagemaker_container_log_level"
S3_OUTPUT = "sagemaker_s3_output"
#: distribution={"torch_distributed": {"enabled": True}} of the SDK, and its older name for the same.
TORCHRUN = ("sagemaker_torch_distributed_enabled", "sagemaker_pytorch_ddp_enabled")
#: What the SDK asks for launchers by that this image doesn't have.
OTHER_LAUNCHERS = (
    "sagemaker_mpi_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
)
#: Beginnings of hyperparameters' names that SageMaker and its SDK add; they say nothing about training.
RESERVED_PREFIXES = ("sagemaker_", "_tuning_")
#: The port of torchrun's rendezvous on the first host.
RENDEZVOUS_PORT = 7777
#: Other hosts' names can take minutes to resolve; the toolkit waits as long.
RESOLVE_SECONDS = 15 * 60
