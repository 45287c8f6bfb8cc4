"""What measurements compute with tensors. `actbench.measures` imports it only where it computes: it needs torch."""
