"""What an activation costs: time and memory of a call beside ReLU's and a copy's, and its share of a training step."""
