"""Correction without a network."""
