"""Explain why a job failed, in its user's terms. Never imports torch."""
