"""The method that makes the frames, as the options name it."""
