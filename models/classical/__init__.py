"""The correction without a network."""
