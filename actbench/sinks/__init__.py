"""Where records go: files, TensorBoard, the terminal."""
