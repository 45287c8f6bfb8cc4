"""Writing files atomically, and reading them within limits."""
