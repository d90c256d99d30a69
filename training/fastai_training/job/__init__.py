"""What surrounds a training job: PID 1, hosts, the user's script, logs, outputs. Never imports torch."""
