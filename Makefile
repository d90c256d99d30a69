# Every target is a command of docker/fastai_local, which needs nothing but Python. Variables are passed through the
# environment, so that spaces and quotes in them survive. A test compares both lists below with the package's tables.
PYTHON ?= python3
export DATA OUT HP VALIDATION WEIGHTS NETWORK MODEL PICTURE IMAGE PORT DEVICE RUNTIME DOCKER BASE_IMAGE \
    TRAINING_IMAGE SERVING_IMAGE SDK SCRIPT PETS_DIR ARGS REQUIRE_ENGINE IMAGES QUICK MINUTES LIMIT

COMMANDS := help doctor engine base build train serve predict stop demo local-mode sbom size push test check \
    bench-serving bench-start bench-size bench-training bench-imbalance bench-large bench-soak clean
.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)

$(COMMANDS):
	@PYTHONPATH=docker $(PYTHON) -m fastai_local $@

# A mistyped target is passed on too: fastai_local suggests the right one.
.DEFAULT:
	@PYTHONPATH=docker $(PYTHON) -m fastai_local $@
