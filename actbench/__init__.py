"""actbench: compare activation functions over several seeds, and see why one fails."""

__version__ = "0.1.0"
