"""Serving a model folder behind multi-model-server: supervisor, batch handler, runtime."""
