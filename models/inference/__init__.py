"""Correction of a pair of any size to frames at any instants."""
