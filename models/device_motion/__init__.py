"""The classical motion estimate of batches of captures in PyTorch, on the device of the images."""
