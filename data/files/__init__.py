"""Formats and folders on disk."""
