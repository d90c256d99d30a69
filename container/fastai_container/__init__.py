"""What both images share: the entry point, the layout of /opt/ml, reading pictures, the model folder's format."""

__version__ = "0.1.0"
