"""PID 1 of a serving container: it checks the model folder and runs multi-model-server. Never imports torch."""
