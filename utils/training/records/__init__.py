"""What a run says at its start, and pictures that it keeps."""
