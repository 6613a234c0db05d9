"""Options of the scripts, validated when they are read."""
