"""Every term of every objective."""
