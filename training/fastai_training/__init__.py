"""The built-in training program: a folder of pictures in, a model folder out."""
