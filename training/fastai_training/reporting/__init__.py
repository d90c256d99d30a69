"""What a run leaves for people to read: the report, its charts and tables."""
