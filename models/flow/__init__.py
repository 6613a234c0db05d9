"""Optical flow between frames, by whichever network."""
