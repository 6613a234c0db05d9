"""Measurements by optical flow between the two views of a capture."""
