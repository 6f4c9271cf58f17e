"""What the notebooks of "Beyond RLHF" stand on: losses, small worlds, figures, checks."""

__version__ = "0.1.0"
