"""The built-in trainer beside plain fastai: `make bench-training`; on a GPU `make bench-training DEVICE=gpu`."""
