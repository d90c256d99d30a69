"""What surrounds a training job: the container's PID 1, hosts, the user's script, logs, outputs. Never imports torch."""
