"""The way to Amazon ECR: ``build_and_push.sh`` and ``make push``."""
