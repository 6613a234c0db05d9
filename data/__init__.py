"""Dual reversed rolling-shutter captures: from folders, from cameras, from the simulator."""
