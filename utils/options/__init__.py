"""What can be set, checked when it is read."""
