"""Checks of a real capture, and differences between the two cameras that took it."""
