"""The folder of a run: for each of its files, one module that writes and reads it."""
