"""Clips: frames made with the views of neighbouring pairs."""
