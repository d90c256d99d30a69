"""The commands: a module for each group of targets. Whatever two of them use lies in the package above."""

#: In the order of ``make help``.
MODULES = (
    "help",
    "doctor",
    "setup",
    "train",
    "serve",
    "predict",
    "stop",
    "demo",
    "local_mode",
    "image_contents",
    "push",
    "checks",
    "bench",
    "clean",
)
