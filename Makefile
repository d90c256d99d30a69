# Every target is a command of docker/fastai_local, which needs nothing but Python. Variables reach it through the
# environment, so that spaces and quotes in them survive. A test compares both lists with the package's tables.
PYTHON ?= python3
export DATA OUT HP VALIDATION WEIGHTS NETWORK MODEL PICTURE IMAGE PORT DEVICE RUNTIME DOCKER BASE_IMAGE \
    TRAINING_IMAGE SERVING_IMAGE SDK SCRIPT PETS_DIR ARGS REQUIRE_ENGINE IMAGES QUICK MINUTES LIMIT

COMMANDS := help doctor engine base build train serve predict stop demo local-mode sbom size push test check \
    bench-serving bench-start bench-size bench-training bench-soak clean
.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)

$(COMMANDS):
	@PYTHONPATH=docker $(PYTHON) -m fastai_local $@

# A mistyped target: the command line says which one was meant.
.DEFAULT:
	@PYTHONPATH=docker $(PYTHON) -m fastai_local $@
