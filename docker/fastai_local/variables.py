"""The table of variables: every one that a command reads, with what it is for."""

from __future__ import annotations

#: Those that reach a command through make, so that the Makefile exports them.
VARIABLES = {
    "DATA": "the folder of pictures to train on",
    "OUT": "where results go: a job's folder, or the folder of the lists that make sbom writes",
    "HP": 'hyperparameters, as in HP="epochs=2 arch=resnet34"',
    "VALIDATION": "a folder of pictures to validate on, in place of a share of DATA",
    "WEIGHTS": "a folder of pretrained weights",
    "NETWORK": "the network of the training container; none cuts it off",
    "MODEL": "a trained model's folder",
    "PICTURE": "the picture to send to an endpoint",
    "IMAGE": "another name of PICTURE",
    "PORT": "the endpoint's port; 8080 unless given, and any free one for make demo and make local-mode",
    "DEVICE": "cpu (unless given) or gpu: which images are built and used",
    "RUNTIME": "docker, or native for plain processes in build/venv; unset, it is docker when an engine answers",
    "DOCKER": "the engine's command-line client, when it is not the first docker on PATH that can build",
    "BASE_IMAGE": "the image that ours are built on",
    "TRAINING_IMAGE": "make local-mode: the training image, in place of building one",
    "SERVING_IMAGE": "make local-mode: the serving image, in place of building one",
    "SDK": "make local-mode: 2 (unless given) or 3, the version of the SageMaker Python SDK",
    "SCRIPT": "make local-mode: a training script of your own",
    "PETS_DIR": "the folder of the Oxford pets, for make local-mode, tests and benchmarks",
    "ARGS": "arguments for pytest, build_and_push.sh or a benchmark",
    "REQUIRE_ENGINE": "make test: 1 makes it an error when no engine answers",
    "IMAGES": "make clean: 1 removes the images too",
    "QUICK": "benchmarks: 1 measures less",
    "MINUTES": "make bench-soak: how long",
    "LIMIT": "make bench-soak: the container's memory, as in 2g",
}
