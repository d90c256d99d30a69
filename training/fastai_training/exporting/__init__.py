"""From a trained learner to a model folder."""
