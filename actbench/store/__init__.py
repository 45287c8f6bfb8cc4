"""The folder of a run: what is written, and what is read back."""
