"""The check of a real capture and of the two cameras that took it."""
