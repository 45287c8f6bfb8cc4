"""The computations of measurements, which need torch: `actbench.measures` imports them only when it computes."""
