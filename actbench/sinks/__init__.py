"""Where records are shown during a run: TensorBoard and the terminal. Files are written by `store`."""
