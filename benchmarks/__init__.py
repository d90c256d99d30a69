"""What this project is measured beside, and how: one command each, see the Makefile."""
