"""Recordings as streams of pairs, and the input arguments of the command line."""
