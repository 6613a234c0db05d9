"""Random scenes with exact rolling-shutter images, global-shutter frames and flows."""
