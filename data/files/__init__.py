"""Image and video files, and output folders."""
