"""Random scenes, rendered exactly by both shutters."""
