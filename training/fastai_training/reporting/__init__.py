"""What a run leaves to be read: the report, its charts and tables."""
