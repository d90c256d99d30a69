"""From loaders to a trained learner: models, weights, the loop, checkpoints, several processes."""
