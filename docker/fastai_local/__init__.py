"""The host's side of the project: what the Makefile runs on a machine where nothing is installed yet."""
