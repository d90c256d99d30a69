# Every target is a verb of docker/fastai_local, which needs nothing but Python. Variables reach it through the
# environment, so that spaces and quotes in them survive.
PYTHON ?= python3
export DATA OUT HP MODEL IMAGE PORT DEVICE RUNTIME BASE_IMAGE VALIDATION WEIGHTS NETWORK ARGS IMAGES \
    SDK SCRIPT TRAINING_IMAGE SERVING_IMAGE QUICK PETS_DIR MINUTES LIMIT

VERBS := help doctor engine base build train serve predict stop demo local-mode sbom size push test check clean \
    bench-serving bench-start bench-size bench-training bench-soak
.DEFAULT_GOAL := help
.PHONY: $(VERBS)

$(VERBS):
	@PYTHONPATH=docker $(PYTHON) -m fastai_local $@
