"""A user's script: where it lies, the packages it asks for, its functions, what they return."""
