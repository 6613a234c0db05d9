"""The motion of the camera."""
