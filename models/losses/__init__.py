"""Loss terms of all objectives."""
