"""A user's script: where it lies, the packages it asks for, its functions, what they return.

Imports the modules of ``fastai_serving`` itself alone: the supervisor and the workers both stand on it.
"""
