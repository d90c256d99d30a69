"""The built-in program beside plain fastai: `make bench-training`; on a GPU `make bench-training DEVICE=gpu`."""
