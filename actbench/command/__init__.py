"""The command line: what can be typed, what it means, and how the shell completes it."""
