"""Train fastai vision models on Amazon SageMaker and serve them: the entry point, and what users' code imports."""
