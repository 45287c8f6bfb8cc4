"""The cost of activations: time and memory of a call beside ReLU and a copy, and the share of a training step."""
