"""Data sets in the layout of RS-GOPRO, written to disk."""
