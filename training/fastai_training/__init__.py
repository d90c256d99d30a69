"""Training jobs: what surrounds one (``job``), and the built-in trainer: pictures in, a model folder out."""
