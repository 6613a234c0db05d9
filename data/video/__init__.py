"""Recordings as streams of pairs, and what a command line names as input."""
