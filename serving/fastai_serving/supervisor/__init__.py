"""PID 1 of a serving container: checks the model folder, starts multi-model-server, looks after it. Never imports torch."""
