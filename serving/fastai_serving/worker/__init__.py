"""What a worker process of multi-model-server runs: a batch of requests in, a response for each out."""
